"""The local stack: every service and an embedded nats-server in one process tree."""
