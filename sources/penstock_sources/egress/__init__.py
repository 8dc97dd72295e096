"""Guarded network access: hosts that the operator allows, and only public addresses."""
