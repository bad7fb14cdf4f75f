"""`docs/asyncapi.yaml`: what is published, said for machines (AsyncAPI 3.0): made from protos and docs/events.md."""
