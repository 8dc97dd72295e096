"""File names with bytes that are no UTF-8, which Snakemake takes for inputs and not for outputs."""

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

pytestmark = pytest.mark.system


async def test_such_an_input_is_taken(harness: EngineHarness) -> None:
    await harness.succeed(
        r"""
        import os
        NAME = os.fsdecode(b"in-\xff\xfe")
        open(NAME, "w").close()

        rule r:
            input: NAME
            output: "plain.txt"
            shell: "cp {input:q} {output}"
        """
    )


async def test_such_an_output_fails_as_with_the_bare_command(harness: EngineHarness) -> None:
    failure = await harness.fail(
        r"""
        import os
        NAME = os.fsdecode(b"n\xff\xfe")

        rule all:
            input: f"out-{NAME}.txt"

        rule r:
            output: "out-{name}.txt"
            shell: "echo hi > {output}"
        """
    )
    assert "UnicodeEncodeError" in failure.message
