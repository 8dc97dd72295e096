"""Supervision of the local processes of an attempt, for any engine: nothing here knows an engine by name."""
