"""`penstock up` with the settings of another WES server, and a client that was written for it."""

from pathlib import Path

import httpx
import pytest
from tests.cli.systems import call, up, wait_until

from penstock.terminal.exit_codes import Exit
from penstock_runtime.settings import read_settings
from penstock_scheduler.settings import SchedulerSettings

WES = "/ga4gh/wes/v1"
OTHERS = {"STORAGE_BACKEND": "local", "DAEMON_MAX_CONCURRENT_RUNS": "1", "SERVICE_NAME": "Theirs", "PORT": "1"}


@pytest.mark.system
def test_it_keeps_files_where_the_other_server_did(tmp_path: Path) -> None:
    storage = tmp_path / "wes storage"
    with up(tmp_path, environ=OTHERS | {"LOCAL_STORAGE_PATH": str(storage)}) as system:
        wait_until(lambda: f"kept in {storage}" in system.output(), "the folder is named")
        with httpx.Client(base_url=system.record.url + WES, timeout=30) as client:
            assert client.get("/service-info/").json()["name"] == "Theirs"
            fields = {"workflow_type": "SMK", "workflow_type_version": "1.0", "workflow_url": "Snakefile"}
            snakefile = b"rule all:\n    output: 'done.txt'\n    shell: 'echo done > {output}'\n"
            answer = client.post("/runs", data=fields, files=[("workflow_attachment", ("Snakefile", snakefile))])
            run_id = answer.raise_for_status().json()["run_id"]

            def is_over() -> bool:
                state = client.get(f"/runs/{run_id}/status").json()["state"]
                assert state not in ("EXECUTOR_ERROR", "SYSTEM_ERROR")
                return bool(state == "COMPLETE")

            wait_until(is_over, "the run is complete")
        assert any(path.read_bytes() == b"done\n" for path in storage.rglob("*") if path.is_file())
        assert not (system.state / "blobs").exists()


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"LOCAL_STORAGE_PATH": "/a", "PENSTOCK_BLOBS": "/b"}, ("LOCAL_STORAGE_PATH", "PENSTOCK_BLOBS")),
        ({"STORAGE_BACKEND": "s3"}, ("S3_BUCKET_NAME", "STORAGE_BACKEND")),
    ],
)
@pytest.mark.system
def test_a_contradiction_is_reported_before_anything_starts(
    tmp_path: Path, environ: dict[str, str], names: tuple[str, ...]
) -> None:
    done = call(tmp_path, "up", "--port", "0", timeout_s=60.0, typed=None, **environ)

    assert done.returncode == Exit.USAGE
    assert all(name in done.stderr for name in names)
    assert not (tmp_path / "state").exists()


def test_the_scheduler_takes_the_bound_of_all_runs() -> None:
    assert read_settings(SchedulerSettings, {"DAEMON_MAX_CONCURRENT_RUNS": "10"}).max_running_jobs == 10
