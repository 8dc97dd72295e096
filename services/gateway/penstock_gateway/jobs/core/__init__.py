"""The pure part of submissions: whether one is accepted, as what, and which request it repeats."""
