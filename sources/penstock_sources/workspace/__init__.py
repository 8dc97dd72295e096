"""Sources placed into the work directory of an attempt."""
