"""The local stack: every service and an embedded nats-server as one group of processes."""
