"""Workflow sources, laid out in a work directory."""
