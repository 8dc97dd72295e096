"""The Snakemake engine passes the contract of engines."""

import pytest

from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_testing.contracts.engine import EngineContract, Workflow

pytestmark = pytest.mark.system


class TestSnakemake(EngineContract):
    """The fixture `engine` is that of the whole folder: warm, and in its sandbox."""

    descriptor = DESCRIPTOR

    def succeeding(self) -> Workflow:
        text = "rule a:\n    output: 'a.txt'\n    shell: 'echo 1; echo 1 > {output}'\n"
        return Workflow(files={"Snakefile": text}, outputs={"a.txt": b"1\n"})

    def failing(self) -> Workflow:
        text = "rule a:\n    output: 'a.txt'\n    shell: 'echo broken >&2; exit 3'\n"
        return Workflow(files={"Snakefile": text})

    def endless(self) -> Workflow:
        text = "rule a:\n    output: 'a.txt'\n    shell: 'touch running; sleep 3600'\n"
        return Workflow(files={"Snakefile": text}, marker="running")
