"""Submitted sources: checked, fetched, unpacked and stored as blobs."""
