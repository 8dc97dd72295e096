"""Tar and zip archives, read in one pass with bounds on what they can grow to."""
