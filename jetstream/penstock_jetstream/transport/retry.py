"""Trying again, within a deadline."""

import itertools

import anyio

from penstock_jetstream import names
from penstock_ports import PortError, Unavailable


class Retry:
    """Tries until a deadline, with longer and longer waits between.

    Args:
        deadline_s: from now.

    """

    def __init__(self, deadline_s: float) -> None:
        self._end = anyio.current_time() + deadline_s
        self._waits = itertools.chain(names.RETRY_WAIT_S, itertools.repeat(names.RETRY_WAIT_S[-1]))

    @property
    def remaining_s(self) -> float:
        """What is left."""
        return max(0.0, self._end - anyio.current_time())

    @property
    def attempt_s(self) -> float:
        """What the next try may take."""
        return min(names.ATTEMPT_S, self.remaining_s)

    async def wait(self, error: PortError) -> None:
        """Wait before the next try.

        Raises:
            Unavailable: there is no time for one.

        """
        wait_s = next(self._waits)
        if self.remaining_s <= wait_s:
            raise Unavailable(str(error)) from error
        await anyio.sleep(wait_s)
