"""One process of a build: `python -m penstock_execution.conda.builder`, started by `builder_process`."""

from penstock_execution.conda.build_messages import (
    BuildFailed,
    BuildRequest,
    Install,
    Record,
    RunScripts,
    decode_request,
)
from penstock_execution.conda.builder.reports import BuildReports
from penstock_execution.processes.builder_main import Report, serve


def build(raw: bytes, report: Report) -> None:
    """Do what the request states; a failure is a message."""
    reports = BuildReports(report)
    request: BuildRequest = decode_request(raw)
    try:
        match request:
            case Install() as order:
                from penstock_execution.conda.builder.installing import install

                install(order, reports)
            case RunScripts() as order:
                from penstock_execution.conda.builder.scripts import run_scripts

                run_scripts(order, reports)
            case Record() as order:
                from penstock_execution.conda.builder.recording import record

                record(order, reports)
    except BuildFailed as error:
        reports.send(error.failure)


if __name__ == "__main__":
    serve(build)
