"""Folders of services on the local disk: private ones, state folders, and how folders are removed."""
