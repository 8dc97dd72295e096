"""The requests and results of the WES client of `dnastack-client-library`.

Its `Run.info` calls a method that responses do not have, so that it can read a run's log from no server
with it; states, lists and cancellation work.
"""

import json
import sys
import time
from pathlib import Path

from dnastack.alpha.client.wes.client import RunRequest, WesClient
from dnastack.client.models import ServiceEndpoint

WES = {"group": "org.ga4gh", "artifact": "wes", "version": "1.1"}


def main(url, folder):
    client = WesClient.make(ServiceEndpoint(id="penstock", url=url + "/", type=WES))

    def submit(**params):
        # It attaches files without their folders.
        request = RunRequest(
            workflow_url="one-file.smk",
            workflow_type="SMK",
            workflow_type_version="1.0",
            workflow_params=params,
            workflow_engine_parameters={"keep-going": None},
            tags={"from": "dnastack"},
            attachments=[
                str(path) for path in (Path(folder).parent / "one-file.smk", *Path(folder, "texts").iterdir())
            ],
        )
        return client.submit(request)

    def follow(run_id):
        while (state := client.run(run_id).status) in ("QUEUED", "INITIALIZING", "RUNNING", "CANCELING"):
            time.sleep(0.1)
        return state

    completed = submit(last=2)
    state = follow(completed)
    cancelled = submit(pause_s=600)
    client.run(cancelled).cancel()
    return {
        "service": client.get_service_info()["name"],
        "listed": [run.run_id for run in client.get_runs(page_size=1)],
        "completed": {"id": completed, "state": state},
        "cancelled": {"id": cancelled, "state": follow(cancelled)},
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
