"""A whole run whose files live in S3: form, source, logs, outputs, links, and what is left after its deletion."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.s3 import BUCKET, running_s3
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

SNAKEFILE = b"""
rule all:
    output: "copy.bin"
    shell: "cp data/in.bin {output}; echo done"
"""
LARGE = bytes(range(256)) * 30_000  # more than one part of an upload


def submit(system: System) -> str:
    fields: list[tuple[str, Any]] = [
        ("job", json.dumps({"pipeline_name": "copy"})),
        ("files", ("Snakefile", SNAKEFILE)),
        ("files", ("data/in.bin", LARGE)),
    ]
    response = system.http.request("POST", system.url + "/jobs", fields=fields, timeout=30.0)
    assert response.status == 201, response.data
    job_id: str = json.loads(response.data)["id"]
    return job_id


def test_a_run_with_its_files_in_s3(tmp_path: Path) -> None:
    with running_s3(tmp_path) as s3:
        settings = {**s3.environ, "PENSTOCK_BLOBS": f"s3://{BUCKET}/penstock", "PENSTOCK_PRESIGNED_URL_S": "60"}
        with running_system(tmp_path, **settings) as system:
            job_id = submit(system)

            def is_over() -> bool:
                return system.get(f"/jobs/{job_id}")[1]["status"] not in ("pending", "running")

            wait_until(is_over, deadline_s=60, what="the run ends")
            job = system.get(f"/jobs/{job_id}")[1]
            assert job["status"] == "completed", job
            (output,) = system.get(f"/jobs/{job_id}/outputs")[1]["files"]
            assert (output["path"], output["sha256"]) == ("copy.bin", hashlib.sha256(LARGE).hexdigest())
            for url in (system.url + output["url"], output["download_url"]):
                assert system.http.request("GET", url, timeout=30.0).data == LARGE
            assert (
                system.http.request("GET", f"{system.url}/jobs/{job_id}/logs?format=text", timeout=30.0).status == 200
            )
            assert system.http.request("DELETE", f"{system.url}/jobs/{job_id}", timeout=30.0).status == 204
            status, problem = system.get(f"/jobs/{job_id}")
            assert status == 404
            assert "was deleted" in problem["detail"]
            listing = system.http.request(
                "GET", f"{s3.url}/{BUCKET}?list-type=2", headers={"accept": "*/*"}, timeout=30.0
            )
            assert (listing.status, listing.data.count(b"<Key>")) == (200, 0)
