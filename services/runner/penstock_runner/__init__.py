"""The runner: takes the attempts addressed to it, runs each in an engine, and reports what happened."""
