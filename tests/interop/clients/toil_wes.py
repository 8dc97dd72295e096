"""The requests and results of `toil-wes-cwl-runner`: Basic authentication, lower-case type, null flags.

It reads the version of a workflow out of CWL: for a Snakemake workflow it needs an option.
"""

import json
import sys
import time
from pathlib import Path

from toil.server.cli.wes_cwl_runner import WESClientWithWorkflowEngineParameters, poll_run


class Client(WESClientWithWorkflowEngineParameters):
    def get_version(self, extension, workflow_file):
        assert extension == "smk"
        return "1.0"


def main(url, folder):
    client = Client(endpoint=url.partition("/ga4gh/")[0], auth=("alice", "secret"))
    params = Path.cwd() / "params.json"

    def submit(file, attachments, **given):
        params.write_text(json.dumps(given))
        flags = ["--keep-going", "--cores=2"]
        return client.run_with_engine_options(str(file), str(params), attachments, flags)["run_id"]

    def follow(run_id):
        while not poll_run(client, run_id) or client.get_run_status(run_id)["state"] == "CANCELING":
            time.sleep(0.1)
        return client.get_run_status(run_id)["state"]

    # The files have no folder in common but the one above both: the main file's path then begins with a folder.
    texts = [str(path) for path in Path(folder, "texts").glob("*.txt")]
    main_file = Path(folder).parent / "one-file.smk"
    completed = submit(main_file, texts, last=2)
    state = follow(completed)
    cancelled = submit(main_file, [], pause_s=600)
    assert client.cancel(cancelled) == {"run_id": cancelled}
    log = client.get_run_log(completed)
    assert log["run_log"]["exit_code"] == 0
    assert log["request"]["workflow_type"] == "smk"
    return {
        "service": client.get_service_info()["name"],
        "listed": [run["run_id"] for run in client.list_runs()["runs"]],
        "completed": {
            "id": completed,
            "state": state,
            "outputs": [one_file["path"] for one_file in log["outputs"]["files"]],
        },
        "cancelled": {"id": cancelled, "state": follow(cancelled)},
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
