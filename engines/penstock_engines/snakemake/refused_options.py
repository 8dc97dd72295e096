"""Options of Snakemake's command line that a submission cannot choose, with the reasons.

With `parameters` they are all options of Snakemake: a test fails when the installed one has an option that neither
lists. `docs/reference/snakemake-options.md` is written from both.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from penstock_domain.engines.parameter_table import RefusedParameter

_PLAN: Final = "`penstock plan` shows what would run, and why"
_OWN_FOLDER: Final = "each run has its own folder, which is removed at its end"
_INTERACTIVE: Final = "it needs a person at the terminal of the process"
_REMOTE: Final = "jobs run on the runner itself"
_STORAGE: Final = "storage plug-ins are not supported"
_INTERNAL: Final = "Snakemake uses it for the processes that it starts itself"
_ALWAYS: Final = "the engine decides; results do not depend on it"
_SOFTWARE: Final = "the runner provides the declared software; see its settings"
_REPORT: Final = "`report` makes Snakemake's own HTML report, in its own style"
_PROGRAM: Final = (
    "it makes a file about the workflow, in place of running it; call Snakemake where the workflow is written"
)

OPERATOR: Final[Mapping[str, str]] = {
    "apptainer-args": _SOFTWARE,
    "apptainer-prefix": _SOFTWARE,
    "conda-base-path": _SOFTWARE,
    "conda-cleanup-envs": _SOFTWARE,
    "conda-cleanup-pkgs": _SOFTWARE,
    "conda-create-envs-only": _SOFTWARE,
    "conda-frontend": _SOFTWARE,
    "conda-not-block-search-path-envvars": _SOFTWARE,
    "conda-prefix": _SOFTWARE,
    "container-cleanup-images": _SOFTWARE,
    "executor": "the runner's engine executes jobs",
    "list-conda-envs": _SOFTWARE,
    "profile": "presets of the operator and profiles in the source (`workflow-profile`) take its place",
    "runtime-source-cache-path": "the runner has its own cache of sources",
    "software-deployment-method": _SOFTWARE,
    "use-apptainer": _SOFTWARE,
    "use-conda": _SOFTWARE,
    "use-envmodules": _SOFTWARE,
    "wrapper-prefix": "the operator decides where wrappers come from, with PENSTOCK_SOURCE_MIRRORS",
}
"""What the operator of a runner decides."""
NOT_SUPPORTED: Final[Mapping[str, str]] = {
    "archive": _PROGRAM,
    "attempt": _INTERNAL,
    "cache": "results are not shared between runs by Snakemake's cache",
    "cleanup-metadata": _OWN_FOLDER,
    "cleanup-shadow": _OWN_FOLDER,
    "container-image": _REMOTE,
    "containerize": _PROGRAM,
    "d3dag": _PLAN,
    "dag": _PLAN,
    "debug": _INTERACTIVE,
    "debug-dag": _PLAN,
    "default-storage-prefix": _STORAGE,
    "default-storage-provider": _STORAGE,
    "delete-all-output": f"{_OWN_FOLDER}; delete the run with `penstock delete`",
    "delete-temp-output": _OWN_FOLDER,
    "deploy-sources": _INTERNAL,
    "detailed-summary": _PLAN,
    "directory": f"{_OWN_FOLDER}; `workdir:` in the workflow names a folder below it",
    "draft-notebook": _INTERACTIVE,
    "dry-run": "`penstock plan` makes a dry run",
    "edit-notebook": _INTERACTIVE,
    "envvars": "variables of the run are set with `env`, and reach every job",
    "export-cwl": _PROGRAM,
    "filegraph": _PLAN,
    "force-use-threads": "each job is a separate process, so that it can be limited and ended",
    "generate-unit-tests": _PROGRAM,
    "group-components": f"{_REMOTE}, where Snakemake does not group them",
    "groups": f"{_REMOTE}, where Snakemake does not group them",
    "immediate-submit": _REMOTE,
    "job-deploy-sources": _REMOTE,
    "jobname": _REMOTE,
    "jobscript": _REMOTE,
    "keep-storage-local-copies": _STORAGE,
    "lint": _PROGRAM,
    "list-changes": _PLAN,
    "list-input-changes": _PLAN,
    "list-params-changes": _PLAN,
    "list-rules": _PLAN,
    "list-target-rules": _PLAN,
    "list-untracked": "`keep-undeclared` stores files that no rule declares",
    "local-cores": f"{_REMOTE}: use `cores`",
    "local-groupid": _INTERNAL,
    "local-storage-prefix": _STORAGE,
    "logger": "the engine reports tasks and logs; `penstock logs` and `penstock tasks` show them",
    "max-jobs-per-second": _REMOTE,
    "max-jobs-per-timespan": _REMOTE,
    "max-status-checks-per-second": _REMOTE,
    "mode": _INTERNAL,
    "no-subworkflows": "Snakemake 9 has no subworkflows",
    "nocolor": _ALWAYS,
    "nolock": "the runner gives each run its folder alone, so nothing is locked",
    "not-retrieve-storage": _STORAGE,
    "notebook-listen": _INTERACTIVE,
    "persistence-backend": _ALWAYS,
    "persistence-backend-db-url": _ALWAYS,
    "precommand": _REMOTE,
    "preemptible-retries": _REMOTE,
    "preemptible-rules": _REMOTE,
    "print-compilation": _PROGRAM,
    "printshellcmds": "commands are always shown, with their tasks",
    "quiet": "logs are whole; `penstock watch` shows progress only",
    "remote-job-local-storage-prefix": _STORAGE,
    "report-after-run": "`report` is made after the run",
    "report-html-path": _REPORT,
    "report-html-stylesheet-path": _REPORT,
    "report-metadata": _REPORT,
    "report-stylesheet": _REPORT,
    "reporter": _REPORT,
    "rulegraph": _PLAN,
    "runtime-profile": _ALWAYS,
    "scheduler": f"it is always `greedy`: {_ALWAYS}",
    "scheduler-greediness": _ALWAYS,
    "scheduler-greedy-greediness": _ALWAYS,
    "scheduler-greedy-omit-prioritize-by-temp-and-input": _ALWAYS,
    "scheduler-ilp-solver": _ALWAYS,
    "scheduler-ilp-solver-path": _ALWAYS,
    "scheduler-solver-path": _ALWAYS,
    "seconds-between-status-checks": _REMOTE,
    "shadow-prefix": "shadow folders are in the run's folder, which alone is writable",
    "shared-fs-usage": _REMOTE,
    "show-failed-logs": "the logs of a failed task are shown with it",
    "snakefile": "the entry point of the source: `--entrypoint`, or `workflow_url` in WES",
    "summary": _PLAN,
    "target-files-omit-workdir-adjustment": _INTERNAL,
    "target-jobs": _INTERNAL,
    "touch": "a run starts with the files of its source; `rerun-triggers` decides what is stale",
    "unlock": "nothing is locked",
    "verbose": _ALWAYS,
    "version": "`penstock version` shows it",
    "wait-for-files-file": "give the files themselves: `wait-for-files`",
    "wait-for-free-local-storage": _STORAGE,
}
"""What has no meaning for a run of a service, or is not built."""


def refused_parameters() -> tuple[RefusedParameter, ...]:
    """Return every option that a submission cannot choose."""
    return tuple(_refused())


def _refused() -> Iterator[RefusedParameter]:
    for name, reason in sorted(NOT_SUPPORTED.items()):
        yield RefusedParameter(name=name, reason=reason)
    for name, reason in sorted(OPERATOR.items()):
        yield RefusedParameter(name=name, reason=f"only the operator sets it; {reason}")
