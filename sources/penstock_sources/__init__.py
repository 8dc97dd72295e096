"""Workflow sources: fetched, checked and stored by the gateway, placed into work directories by the runner."""
