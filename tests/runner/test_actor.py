"""The runner on the in-memory cluster: orders in, events out."""

from tests.runner.conftest import Stage
from tests.runner.scripted_engine import ScriptedEngine, at_once

from penstock_schemas.jobs import JobState


async def test_a_runner_joins_and_says_what_it_is(stage: Stage) -> None:
    async with stage.runner(ScriptedEngine()):
        _, joined = await stage.desk.joined()
        assert (joined.name, joined.slots, joined.engines) == ("test", 2, {"scripted": "1"})
        assert joined.runner_id.startswith("test-")
        assert joined.runner_id in await stage.heartbeats.runners()


async def test_an_attempt_starts_and_completes(stage: Stage) -> None:
    async with stage.runner(ScriptedEngine(at_once)):
        _, joined = await stage.desk.joined()
        job_id = await stage.desk.submit()
        await stage.desk.assign(job_id, joined.runner_id)
        await stage.desk.reaches(job_id, JobState.COMPLETED)
        assert await stage.desk.types(job_id) == ["JobSubmitted", "JobAssigned", "AttemptStarted", "JobCompleted"]
