"""A small authority in a directory: certificates by which the processes of one cluster know each other."""
