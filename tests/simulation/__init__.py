"""The whole system in one process and in virtual time, with everything that can go wrong."""
