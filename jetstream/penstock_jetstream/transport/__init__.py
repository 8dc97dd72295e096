"""Connections, requests and readers: how this package uses nats-py and the JetStream API."""
