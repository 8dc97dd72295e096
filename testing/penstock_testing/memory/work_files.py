"""Files of work directories, requested and served within one process."""

import anyio

from penstock_ports import Unavailable
from penstock_ports.work_files import WorkFileAnswer
from penstock_runtime.background import described
from penstock_schemas.work_files import WorkFileReply, WorkFileRequest


class MemoryWorkFiles:
    """A `WorkFiles`."""

    def __init__(self) -> None:
        self._answers: dict[str, WorkFileAnswer] = {}

    async def request(self, runner: str, request: WorkFileRequest, *, deadline_s: float) -> WorkFileReply:
        """Request files of a runner."""
        answer = self._answers.get(runner)
        if answer is None:
            raise Unavailable(f"nobody answers for the runner {runner}")
        try:
            with anyio.fail_after(deadline_s):
                return await answer(request)
        except TimeoutError:
            raise Unavailable(f"the runner {runner} did not answer within {deadline_s:g} s") from None
        except Exception as error:  # the boundary of one request
            raise Unavailable(f"the runner {runner} did not answer: {described(error)}") from error

    async def serve(self, runner: str, answer: WorkFileAnswer) -> None:
        """Answer requests."""
        self._answers[runner] = answer
        try:
            await anyio.sleep_forever()
        finally:
            self._answers.pop(runner, None)
