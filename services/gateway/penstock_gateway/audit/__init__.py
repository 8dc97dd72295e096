"""The audit trail of the HTTP surface."""
