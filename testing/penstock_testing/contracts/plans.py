"""The contract of plans: requested from one of the services of an engine, answered in time or not at all.

A test module subclasses it and provides the fixture `plans`.
"""

from typing import Final

import anyio
import pytest

from penstock_ports import Plans, Unavailable
from penstock_schemas.plans import Plan, PlanReply, PlanRequest

EMPTY: Final = Plan(rules=(), tasks=(), total=0)


async def until_served(plans: Plans, engine: str) -> PlanReply:
    """Return the answer to a request, as soon as a service of the engine answers."""
    with anyio.fail_after(10):
        while True:
            try:
                return await plans.request(PlanRequest(pipeline_name="p", engine=engine), deadline_s=5)
            except Unavailable:
                await anyio.lowlevel.checkpoint()


class PlansContract:
    """What every `Plans` does."""

    async def test_a_request_is_answered_by_a_service_of_its_engine(self, plans: Plans) -> None:
        """A request is answered by a service of its engine."""

        async def answer(request: PlanRequest) -> PlanReply:
            return PlanReply(plan=Plan(rules=(), tasks=(), total=len(request.parameters)))

        async with anyio.create_task_group() as group:
            group.start_soon(plans.serve, ("snakemake", "mock"), answer)
            for engine in ("snakemake", "mock"):
                assert (await until_served(plans, engine)).plan == EMPTY
            request = PlanRequest(pipeline_name="p", engine="mock", parameters={"a": 1, "b": [2]})
            found = (await plans.request(request, deadline_s=5)).plan
            assert found is not None
            assert found.total == 2
            with pytest.raises(Unavailable):
                await plans.request(PlanRequest(pipeline_name="p", engine="other"), deadline_s=1)
            group.cancel_scope.cancel()

    async def test_an_answer_that_does_not_come_in_time_is_none(self, plans: Plans) -> None:
        """A request ends when its answer does not come in time."""
        requested = anyio.Event()

        async def answer(request: PlanRequest) -> PlanReply:
            if request.pipeline_name == "p":
                return PlanReply(plan=EMPTY)
            requested.set()
            await anyio.sleep_forever()
            raise AssertionError

        async with anyio.create_task_group() as group:
            group.start_soon(plans.serve, ("mock",), answer)
            await until_served(plans, "mock")
            with pytest.raises(Unavailable, match="within"):
                await plans.request(PlanRequest(pipeline_name="slow", engine="mock"), deadline_s=0.2)
            assert requested.is_set()
            group.cancel_scope.cancel()

    async def test_a_fault_in_one_answer_leaves_the_others(self, plans: Plans) -> None:
        """A service that failed at one request answers the next one."""

        async def answer(request: PlanRequest) -> PlanReply:
            if request.pipeline_name == "p":
                return PlanReply(plan=EMPTY)
            raise RecursionError(request.pipeline_name)

        async with anyio.create_task_group() as group:
            group.start_soon(plans.serve, ("mock",), answer)
            await until_served(plans, "mock")
            with pytest.raises(Unavailable):
                await plans.request(PlanRequest(pipeline_name="faulty", engine="mock"), deadline_s=1)
            assert (await until_served(plans, "mock")).plan == EMPTY
            group.cancel_scope.cancel()
