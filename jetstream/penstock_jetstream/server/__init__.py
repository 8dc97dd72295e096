"""The embedded nats-server: its configuration, users and process."""
