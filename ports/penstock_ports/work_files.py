"""The work directories of jobs, as gateways reach them."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from penstock_schemas.work_files import WorkFileReply, WorkFileRequest

WorkFileAnswer = Callable[[WorkFileRequest], Awaitable[WorkFileReply]]
"""Answers one request on the runner that has the files."""


class WorkFiles(Protocol):
    """Files of work directories, requested by gateways from the one runner that has them. Nothing of it is stored."""

    async def request(self, runner: str, request: WorkFileRequest, *, deadline_s: float) -> WorkFileReply:
        """Return the answer of the runner of this name.

        Raises:
            Unavailable: it does not listen, or does not answer in time.

        """
        ...

    async def serve(self, runner: str, answer: WorkFileAnswer) -> None:
        """Answer requests to the runner of this name, several at a time, for ever."""
        ...
