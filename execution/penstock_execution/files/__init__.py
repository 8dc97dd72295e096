"""Files that a workflow wrote, read as hostile input."""
