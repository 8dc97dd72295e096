"""Logs of an attempt on the local disk: capture, live reading, and the combined log at the end."""
