"""How a process of a build reports to the runner."""

from typing import Final

from penstock_execution.conda.build_messages import BuildMessage, BuildPhase, Logged, PhaseBegan, Progressed, encode
from penstock_execution.processes.builder_main import Report
from penstock_runtime.runtime import SYSTEM

PROGRESS_INTERVAL_S: Final = 0.2
"""Between two reports of progress: a download reports each piece."""


class BuildReports:
    """Sends messages."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last_progress_s = 0.0

    def send(self, message: BuildMessage) -> None:
        """Send one message."""
        self._report(encode(message))

    def phase(self, phase: BuildPhase) -> None:
        """Report that a phase began."""
        self.send(PhaseBegan(phase))

    def log(self, text: str) -> None:
        """Add a line to the log of the build."""
        self.send(Logged(text + "\n"))

    def progress(self, text: str, *, is_last: bool = False) -> None:
        """Report what happens at the moment; reports that follow too closely are left out."""
        now = SYSTEM.monotonic()
        if is_last or now - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now
            self.send(Progressed(text))
