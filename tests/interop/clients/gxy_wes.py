"""The requests and results of `gxy-wes`. It attaches one file and never names it: `workflow_url` is left out."""

import json
import sys
import time
from pathlib import Path

from gxy_wes.client import TERMINAL_STATES, WesClient, WesError


def main(url, folder):
    client = WesClient(url.partition("/ga4gh/")[0], api_key="not-a-key")
    path = str(Path(folder).parent / "one-file.smk")

    def submit(**params):
        return client.submit_run(
            workflow_type="Snakemake", workflow_path=path, params=params, engine_parameters={"cores": 1}
        )["run_id"]

    def follow(run_id):
        while (state := client.get_run_status(run_id)["state"]) not in TERMINAL_STATES:
            time.sleep(0.1)
        return state

    completed = submit(last=2)
    state = follow(completed)
    cancelled = submit(pause_s=600)
    assert client.cancel_run(cancelled) == {"run_id": cancelled}
    first = client.list_runs(page_size=1)
    second = client.list_runs(page_size=1, page_token=first["next_page_token"])
    (task,) = client.get_run_tasks(completed)["task_logs"]
    assert client.get_run_task(completed, task["id"])["exit_code"] == 0
    try:
        client.submit_run(workflow_type="gx_workflow_ga", workflow_path=path)
    except WesError as error:
        refused = error.status_code
    return {
        "service": client.service_info()["name"],
        "listed": [run["run_id"] for run in first["runs"] + second["runs"]],
        "completed": {
            "id": completed,
            "state": state,
            "outputs": [file["path"] for file in client.get_run(completed)["outputs"]["files"]],
        },
        "cancelled": {"id": cancelled, "state": follow(cancelled)},
        "refused": refused,
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
