"""Clients of the simulated gateways: each repeats its request until a gateway answers it."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from tests.simulation.machines import GatewayMachine
from tests.simulation.world import World

from penstock_domain.job.errors import Refused
from penstock_gateway.http.problems import Invalid
from penstock_ports import PortError
from penstock_schemas.access import Principal, Role
from penstock_schemas.api import JobSubmission
from penstock_schemas.ids import JobId

PATIENCE_S = 20.0
"""A request that has no answer by then is sent again: its gateway may be gone."""

T = TypeVar("T")


class Client:
    """Submits one job under an idempotency key, and perhaps holds, cancels or deletes it."""

    def __init__(self, world: World, gateways: list[GatewayMachine], owner: str, key: str) -> None:
        self._world = world
        self._gateways = gateways
        self._principal = Principal(name=owner, role=Role.SUBMITTER)
        self.owner, self.key = owner, key
        self.job_ids: set[JobId] = set()
        """What the gateways answered; only a deletion may lead to a second one."""
        random = world.random
        self._submission = JobSubmission(
            pipeline_name="p",
            priority=random.choice([0, 0, 0, 5]),
            hold=world.chance(0.1),
            requeue=not world.chance(0.2),
            engine_parameters=self._requested(),
        )
        self.was_submitted = anyio.Event()
        self.is_done = False

    def _requested(self) -> dict[str, str | None]:
        """Return what a run requests of one runner: some request two slots, which not every runner has, or GPUs."""
        chosen: dict[str, str | None] = {}
        if self._world.chance(0.2):
            chosen["cores"] = self._world.random.choice(["1", "3", "4"])
        if self._world.chance(0.2):
            chosen["gpus"] = self._world.random.choice(["1", "2"])
        return chosen

    async def run(self) -> None:
        """Submit the job, perhaps more than once, and release it when it is held."""
        world = self._world
        try:
            await self._submit()
            self.was_submitted.set()
            if world.chance(0.3):
                await self._submit()
        except Refused:
            pass  # the event of the first submission cannot be read
        if self._submission.hold and self.was_submitted.is_set():
            await self._release()
        self.is_done = True

    async def cancel(self) -> None:
        """Cancel the job, perhaps twice."""
        await self.was_submitted.wait()
        for _ in range(1 + self._world.chance(0.3)):
            await self._command(lambda gateway, job: gateway.jobs.cancel(self._principal, job, reason="enough"))

    async def hold(self) -> None:
        """Hold the job while it waits, and release it."""
        await self.was_submitted.wait()
        if await self._command(lambda gateway, job: gateway.jobs.hold(self._principal, job, reason="later")):
            await self._release()

    async def delete(self) -> None:
        """Delete the job once it is over; perhaps submit it again under the same key."""
        await self.was_submitted.wait()
        for _ in range(20):
            if await self._command(lambda gateway, job: gateway.deletions.delete(self._principal, job)):
                break
            await anyio.sleep(2)

    async def release(self, job_id: JobId) -> None:
        """Release a job; a refusal means that it is not held."""
        with contextlib.suppress(Refused):
            await self._insist(lambda gateway: gateway.jobs.release(self._principal, job_id))

    async def close(self, job_id: JobId) -> None:
        """Close a job whose events are damaged, as an operator; a refusal means that it was closed."""
        operator = Principal(name="operator", role=Role.OPERATOR)
        with contextlib.suppress(Refused):
            await self._insist(lambda gateway: gateway.jobs.close(operator, job_id, reason="a disk failed"))

    async def _release(self) -> None:
        await anyio.sleep(self._world.random.random() * 15)
        for _ in range(3):  # a refusal means that it is not held any more
            if await self._command(lambda gateway, job: gateway.jobs.release(self._principal, job)):
                return

    async def _submit(self) -> None:
        job = await self._insist(
            lambda gateway: gateway.submissions.submit(self._principal, self._submission, header_key=self.key)
        )
        self.job_ids.add(job.job.id)

    async def _command(self, send: Callable[[GatewayMachine, JobId], Awaitable[object]]) -> bool:
        """Send a command to the job; return whether it was accepted."""
        job_id = next(iter(self.job_ids))
        try:
            await self._insist(lambda gateway: send(gateway, job_id))
        except Refused:
            return False
        return True

    async def _insist(self, send: Callable[[GatewayMachine], Awaitable[T]]) -> T:
        """Send a request to one gateway after the other until one answers it.

        A gateway that sees no runner large enough for a submission refuses it; such a runner comes back.
        """
        while True:
            request = Request(self._world, self._world.random.choice(self._gateways), send)
            with anyio.move_on_after(PATIENCE_S):
                await request.done.wait()
            if request.error is not None and not isinstance(request.error, PortError | Invalid):
                raise request.error
            if request.answer:
                return request.answer[0]
            await anyio.sleep(self._world.random.random() * 2)


class Request(Generic[T]):
    """A request that a gateway handles; its answer is lost when the gateway is killed."""

    def __init__(self, world: World, gateway: GatewayMachine, send: Callable[[GatewayMachine], Awaitable[T]]) -> None:
        self._world = world
        self._gateway = gateway
        self._send = send
        self.done = anyio.Event()
        self.answer: list[T] = []
        self.error: Exception | None = None
        gateway.start(self._handle)

    async def _handle(self) -> None:
        try:
            self.answer.append(await self._send(self._gateway))
        except (PortError, Refused, Invalid) as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  # the boundary of a request
            self._world.note_fault("a request", error)
        self.done.set()
