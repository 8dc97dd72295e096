"""Contracts of ports: a test class for each, to be run on every implementation."""
