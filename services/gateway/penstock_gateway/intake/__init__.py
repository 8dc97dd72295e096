"""Workflows that come from elsewhere: out of archives, out of git, from an address. All of it is bounded."""
