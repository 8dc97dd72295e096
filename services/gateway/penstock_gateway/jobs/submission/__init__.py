"""From a submission request to a job in the log."""
