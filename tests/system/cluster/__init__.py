"""A Docker Engine, images without a registry, the compose cluster in it, and what callers reach it by."""
