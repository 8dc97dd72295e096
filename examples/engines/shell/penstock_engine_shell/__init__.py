"""An engine that runs one shell script as a workflow of one task."""
