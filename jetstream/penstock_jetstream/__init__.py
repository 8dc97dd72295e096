"""The one place that talks to NATS JetStream and to blob stores."""
