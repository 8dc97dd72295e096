"""Files of other hosts that workflows are made of: fetched once, pinned, and given again to every later attempt."""
