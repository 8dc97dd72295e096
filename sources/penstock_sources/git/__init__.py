"""Commits of git repositories, read through the git program."""
