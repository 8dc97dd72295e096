"""Software that a workflow declares: what the runner prepares, and what the run does not get."""
