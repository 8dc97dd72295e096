"""The rules that every service shares. Every module is pure: no clock, ids, environment, I/O or event loop."""
