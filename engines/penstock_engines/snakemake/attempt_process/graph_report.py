"""The growing graph of a workflow: reported, and refused where it declares what the run may not miss."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from penstock_engines.snakemake.attempt_process.graph import GraphWatch, TaskNumbers, needed_jobs
from penstock_engines.snakemake.attempt_process.software.unsupported import Inspection, MissingSoftware, Software
from penstock_engines.snakemake.messages import Message, found
from penstock_execution.processes.event_pipe import Reporter
from penstock_execution.provisioning import ProvisionKind
from penstock_schemas.jobs import Finding


class GraphReport:
    """Reports one graph.

    Args:
        reporter: takes the messages.
        numbers: what represents jobs in messages.
        work_dir: the folder of the workflow.
        software: whether the run may go on without declared software.
        cores: how many the run has.
        profile: what the workflow's profile sets and the run does not get.
        provides: what the runner prepares.
        has_modules: whether environment modules can be loaded.
        is_dry: whether a refusal is only reported.

    """

    def __init__(
        self,
        reporter: Reporter[Message],
        numbers: TaskNumbers,
        work_dir: Path,
        software: Software,
        *,
        cores: int = 1,
        profile: Iterable[Finding] = (),
        provides: frozenset[ProvisionKind] = frozenset(),
        has_modules: bool = False,
        is_dry: bool = False,
    ) -> None:
        self._reporter = reporter
        self._numbers = numbers
        self._work_dir = work_dir
        self._software = software
        self._inspection = Inspection(cores, profile=profile, provides=provides, has_modules=has_modules)
        self._is_dry = is_dry
        self._watch: GraphWatch | None = None

    def refresh(self, dag: Any) -> None:
        """Report what is new in the graph.

        Raises:
            MissingSoftware: a new rule needs what this runner does not provide.

        """
        if self._watch is None:
            self._watch = GraphWatch(dag, self._reporter, self._numbers, self._work_dir)
        if not self._watch.refresh():
            return
        findings = self._inspection.look(dag.workflow, needed_jobs(dag))
        refusal = self._software.refusal(findings)
        if findings:
            self._reporter.report(found(findings, refusal))
        if refusal is not None and not self._is_dry:
            raise MissingSoftware(refusal)

    def expect_change(self) -> None:
        """Look again even when the graph has the same size: a checkpoint replaces jobs."""
        if self._watch is not None:
            self._watch.expect_change()
