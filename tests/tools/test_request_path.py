"""The number of product files that a request passes through, which is what a reader of its path has to open."""

import re
import subprocess
import sys
from pathlib import Path

MAX_FILES = {"POST /jobs": 24, "GET /jobs/{id}": 14}
"""Lower these bounds when a path gets shorter; a new file on a path needs a reason."""
ROOT = Path(__file__).parents[2]


def test_a_request_passes_through_few_files() -> None:
    """Measured in a separate process: what other tests configured, such as logs, adds files to a path."""
    command = [sys.executable, "-m", "tools.request_path"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    counts = {name: int(count) for name, count in re.findall(r"^(\S+ \S+): (\d+) files$", output, re.MULTILINE)}
    assert counts.keys() == MAX_FILES.keys()
    for request, count in counts.items():
        assert count <= MAX_FILES[request], output
    assert "services/gateway/penstock_gateway/jobs/core/admission.py" in output
