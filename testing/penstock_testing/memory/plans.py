"""Plans, requested and made within one process."""

from collections.abc import Sequence

import anyio

from penstock_ports import PlanAnswer, Unavailable
from penstock_runtime.background import described
from penstock_schemas.plans import PlanReply, PlanRequest


class MemoryPlans:
    """A `Plans`."""

    def __init__(self) -> None:
        self._answers: dict[str, PlanAnswer] = {}

    async def request(self, request: PlanRequest, *, deadline_s: float) -> PlanReply:
        """Have a plan made."""
        answer = self._answers.get(request.engine)
        if answer is None:
            raise Unavailable(f"no runner makes plans of {request.engine}")
        try:
            with anyio.fail_after(deadline_s):
                return await answer(request)
        except TimeoutError:
            raise Unavailable(f"no plan was made within {deadline_s:g} s") from None
        except Exception as error:  # the boundary of one request
            raise Unavailable(f"no plan was made: {described(error)}") from error

    async def serve(self, engines: Sequence[str], answer: PlanAnswer) -> None:
        """Answer requests."""
        self._answers.update(dict.fromkeys(engines, answer))
        try:
            await anyio.sleep_forever()
        finally:
            for engine in engines:
                self._answers.pop(engine, None)
