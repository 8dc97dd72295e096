"""The Snakemake engine passes the contract of engines."""

from pathlib import Path

import pytest

from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_testing.contracts.engine import EngineContract, Workflow

pytestmark = pytest.mark.system


class TestSnakemake(EngineContract):
    """The fixture `engine` is that of the whole folder: warm, and in its sandbox."""

    descriptor = DESCRIPTOR

    def succeeding(self, work_dir: Path) -> Workflow:
        (work_dir / "Snakefile").write_text("rule a:\n    output: 'a.txt'\n    shell: 'echo 1; echo 1 > {output}'\n")
        return Workflow(outputs=("a.txt",))

    def failing(self, work_dir: Path) -> Workflow:
        (work_dir / "Snakefile").write_text("rule a:\n    output: 'a.txt'\n    shell: 'echo broken >&2; exit 3'\n")
        return Workflow()

    def endless(self, work_dir: Path) -> Workflow:
        (work_dir / "Snakefile").write_text("rule a:\n    output: 'a.txt'\n    shell: 'touch running; sleep 3600'\n")
        return Workflow(marker=work_dir / "running")
