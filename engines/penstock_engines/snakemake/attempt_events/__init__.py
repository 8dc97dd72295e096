"""What the runner makes of an attempt's messages: events, tasks, results and an outcome."""
