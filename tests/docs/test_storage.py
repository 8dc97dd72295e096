"""The keys that the reference names are the ones that the code uses."""

import re
from pathlib import Path

from penstock_gateway.maintenance.deletions import NOTES
from penstock_runner.attempts.uploads import log_key, task_log_key
from penstock_schemas.ids import JobId
from penstock_schemas.views import LogStream
from penstock_sources.staging.uploads import job_prefix

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "storage.md"


def test_documented_keys_are_the_ones_in_use() -> None:
    documented = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text().partition("## Keys")[2], re.MULTILINE))
    job = JobId("<job_id>")
    used = {
        f"{job_prefix(job)}.json",
        f"{job_prefix(job)}/<path>",
        log_key(job, 1, "engine.log").replace("/1/", "/<attempt>/"),
        task_log_key(job, 1, "<task_id>", LogStream.STDOUT).replace("/1/", "/<attempt>/"),
        f"{NOTES}<tenant>/<job_id>",
    }
    assert used <= documented
