"""A builder that does what a test requests: `python -m tests.conda.small_builder`."""

import os
import subprocess
import sys
import time
from pathlib import Path

from penstock_execution.processes.builder_main import Report, serve


def build(raw: bytes, report: Report) -> None:
    match raw.decode().strip('"'):
        case "report":
            report(b"one")
            sys.stdout.write("written\n")
            sys.stdout.flush()
            report(b"two")
        case "fail":
            raise ValueError("as requested")
        case "hide":
            # A process that leaves the session and the group, and is nobody's child any more.
            subprocess.Popen(["sh", "-c", "setsid sleep 1000 & exit 0"], close_fds=False)
            time.sleep(0.1)
            report(b"hidden")
        case "wait":
            subprocess.Popen(["sleep", "1000"], close_fds=False)
            report(str(os.getpid()).encode())
            time.sleep(1000)
        case "write":
            for path in ("/tmp/penstock-builder-test", os.environ["ALLOWED"]):
                try:
                    Path(path).write_text("x")
                    report(b"written")
                except OSError:
                    report(b"refused")
        case _:
            report(f"limit {os.sysconf('SC_OPEN_MAX')} {sorted(os.environ)}".encode())


if __name__ == "__main__":
    serve(build)
