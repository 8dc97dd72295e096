"""The runner's decisions. Pure."""
