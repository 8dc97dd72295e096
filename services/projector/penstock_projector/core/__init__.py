"""The projection of events into the jobs view. Pure."""
