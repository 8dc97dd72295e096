"""Reasons for which a submitted source is refused."""

from collections.abc import Iterable

from penstock_schemas.api import Violation


class UnusableSource(Exception):
    """A source cannot be used; the text states the reason and the remedy."""


class InvalidSource(Exception):
    """The source of a submission or registration is not valid; every violation that was found is listed."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{violation.pointer}: {violation.detail}" for violation in self.violations))
