"""The Python client of the native HTTP API: `from penstock.client import Client`."""

from penstock.client.client import Client

__all__ = ["Client"]
