"""The requests and results of `wes-client` from the package `wes-service`.

It knows workflows by the endings `.cwl`, `.wdl` and `.py`: for a Snakemake workflow type and version are options.
"""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

from wes_client import util, wes_client_main


def run(*arguments):
    """Return what the command line client writes."""
    with contextlib.redirect_stdout(io.StringIO()) as written:
        code = wes_client_main.main(list(arguments))
    assert code == 0, (arguments, code, written.getvalue())
    return written.getvalue()


def main(url, folder):
    host = url.removeprefix("http://").partition("/")[0]
    util.wf_info = lambda path: ("1.0", "SMK")
    client = util.WESClient({"auth": {}, "proto": "http", "host": host})
    attachments = [f"file://{folder}/texts/*.txt"]
    main_file = str(Path(folder) / "Snakefile")

    def follow(run_id):
        while (state := client.get_run_status(run_id)["state"]) in ("QUEUED", "INITIALIZING", "RUNNING", "CANCELING"):
            time.sleep(0.1)
        return state

    completed = client.run(main_file, json.dumps({"texts": ["raven"]}), attachments)["run_id"]
    state = follow(completed)
    cancelled = client.run(main_file, json.dumps({"pause_s": 600}), attachments)["run_id"]
    assert client.cancel(cancelled) == {"run_id": cancelled}
    options = ("--host", host, "--proto", "http")
    log = json.loads(run(*options, "--get", completed))
    return {
        "service": json.loads(run(*options, "--info"))["name"],
        "listed": [run["run_id"] for run in json.loads(run(*options, "--list"))["runs"]],
        "completed": {"id": completed, "state": state, "outputs": [file["path"] for file in log["outputs"]["files"]]},
        "cancelled": {"id": cancelled, "state": follow(cancelled)},
        "log": run(*options, "--log", completed),
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
