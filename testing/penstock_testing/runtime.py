"""A runtime whose wall clock a test sets."""

from collections.abc import Callable
from datetime import datetime

from penstock_runtime.runtime import Runtime


class RuntimeAt(Runtime):
    """A `Runtime` whose wall clock is `now`; everything else is the machine's."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def now(self) -> datetime:
        """Return what the test's clock shows."""
        return self._now()
