"""The failure of a request to a foreign host."""


class FetchFailed(Exception):
    """An address may not be fetched from, or its host does not answer as expected; the text states the reason."""
