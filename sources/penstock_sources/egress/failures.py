"""The failure of a request to a foreign host."""


class FetchFailed(Exception):
    """An address may not be fetched from, or its host does not answer as expected; the text states the reason.

    Args:
        message: the reason.
        is_missing: the host answered that there is nothing at the address.
        may_retry: the same request may succeed later.

    """

    def __init__(self, message: str, *, is_missing: bool = False, may_retry: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing
        self.may_retry = may_retry
