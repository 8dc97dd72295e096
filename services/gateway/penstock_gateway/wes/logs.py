"""What runs and their tasks wrote: whole once they ended, so far while they run, and as it comes for who follows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import anyio
from litestar.types import Receive, Scope, Send

from penstock_gateway.http.responses import TEXT
from penstock_gateway.jobs.run_files import Runs
from penstock_schemas.access import Principal
from penstock_schemas.api import MAX_PAGE, LogSource
from penstock_schemas.ids import JobId
from penstock_schemas.views import LogStream

WAIT_S: Final = 5.0
"""A follower checks this often whether the run or task is over."""
MAX_LIVE_PAGES: Final = 100
"""What runs has no more pages of log than this; the rest can be followed."""


class Followed:
    """A response that is sent as it comes, until it is over or its reader is gone."""

    def __init__(self, chunks: AsyncIterator[str]) -> None:
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = [(b"content-type", TEXT.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
            async for chunk in self._chunks:
                await send({"type": "http.response.body", "body": chunk.encode(), "more_body": True})
            group.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def follow(
    runs: Runs,
    principal: Principal,
    run_id: JobId,
    *,
    stream: LogStream,
    task_id: str | None,
    is_over: Callable[[], bool],
    is_admitted: Callable[[], Awaitable[bool]],
) -> AsyncIterator[str]:
    """Yield what is written, from the beginning, until the run is over or the follower has no access any more.

    Args:
        runs: reads logs.
        principal: who follows.
        run_id: the run.
        stream: what of it.
        task_id: of this task alone.
        is_over: whether all waiting must end.
        is_admitted: whether the follower still has access.

    """
    after, source = 0, None
    while await is_admitted():
        page = await runs.log(
            principal,
            run_id,
            after=after,
            wait_s=0 if is_over() else WAIT_S,
            limit=MAX_PAGE,
            streams=frozenset({stream}),
            source=source,
        )
        for entry in page.entries:
            if task_id in (None, entry.task_id):
                yield entry.text
        after = page.next_after
        source = LogSource.ARCHIVE if page.source is LogSource.ARCHIVE else None
        if page.done or (is_over() and not page.entries):
            return


async def so_far(runs: Runs, principal: Principal, run_id: JobId, *, stream: LogStream, task_id: str | None) -> bytes:
    """Return what was written until now, as far as the live tail still has it."""
    after, chunks = 0, list[str]()
    for _ in range(MAX_LIVE_PAGES):
        page = await runs.log(
            principal,
            run_id,
            after=after,
            wait_s=0,
            limit=MAX_PAGE,
            streams=frozenset({stream}),
            source=LogSource.LIVE,
        )
        if not page.entries:
            break
        chunks.extend(entry.text for entry in page.entries if task_id in (None, entry.task_id))
        after = page.next_after
    return "".join(chunks).encode()
