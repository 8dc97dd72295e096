"""The `penstock` command and the Python client (`penstock.client.client`)."""
