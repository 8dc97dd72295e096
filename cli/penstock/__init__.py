"""The `penstock` command, the Python client, and everything in one process tree."""
