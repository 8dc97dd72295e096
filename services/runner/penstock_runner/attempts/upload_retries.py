"""When an upload that failed is tried again: with growing pauses, for a bounded time without any success."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

PAUSES_S: Final = (0.2, 1.0, 4.0, 8.0, 15.0, 30.0)
"""Between tries; the last one again and again."""
UPLOAD_RETRY_S: Final = 3600.0
"""How long the results of a run are offered to the blob store, unless a setting changes it."""
QUICK_S: Final = 6.0
"""How long an upload is tried that somebody else repeats later."""
REPORT_DEADLINE_S: Final = 5.0
"""How long the report of a delay may hold up the next try."""
MAX_REASON_CHARS: Final = 300

Report = Callable[[int, str], Awaitable[None]]
"""Takes the number of the coming try and why the last one failed."""


class UploadFailed(Exception):
    """The blob store did not take a file, after every retry; the message names the file and the reason."""


class UploadRetries:
    """The retries of one attempt's uploads, which share one outage.

    Args:
        bound_s: after so long without a success, a failure is final; short where none is given.
        report: called when a delay begins to last, and again each time that the number of tries has doubled.

    """

    def __init__(self, bound_s: float | None = None, report: Report | None = None) -> None:
        self._bound_s = QUICK_S if bound_s is None else bound_s
        self._report = report
        self._lock = anyio.Lock()
        self._failing_since_s: float | None = None
        self._next_try_s = 0.0
        self._failures = 0

    def succeeded(self) -> None:
        """Count the outage as over."""
        self._failing_since_s, self._failures = None, 0

    async def pause(self, key: str, error: Exception) -> None:
        """Wait until the upload of `key`, which failed, should be tried again.

        Raises:
            UploadFailed: there was no success for as long as retries are bounded to.

        """
        reason = (str(error) or type(error).__name__)[:MAX_REASON_CHARS]
        async with self._lock:
            now_s = anyio.current_time()
            if self._failing_since_s is None:
                self._failing_since_s = now_s
            left_s = self._failing_since_s + self._bound_s - now_s
            if left_s <= 0:
                raise UploadFailed(f"the blob store did not take {key}: {reason}") from error
            if now_s >= self._next_try_s:  # else another file failed just now, and both wait for the same time
                pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
                self._failures += 1
                self._next_try_s = now_s + min(pause_s, left_s)
                await self._report_delay(reason)
        await anyio.sleep(max(0.0, self._next_try_s - anyio.current_time()))

    async def _report_delay(self, reason: str) -> None:
        tries = self._failures + 1
        if self._report is None or tries < 4 or tries & (tries - 1):
            return
        with anyio.move_on_after(REPORT_DEADLINE_S):
            await self._report(tries, reason)
