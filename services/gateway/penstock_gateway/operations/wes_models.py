"""The bodies of GA4GH WES 1.1, as its OpenAPI document has them. What is not known is left out, never null."""

from enum import Enum
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from penstock_schemas.outputs import OutputKind


class WesState(Enum):
    """The state of a run."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"
    CANCELING = "CANCELING"
    PREEMPTED = "PREEMPTED"


class Organization(Struct, frozen=True, kw_only=True):
    """Who provides the service."""

    name: str
    url: str


class ServiceType(Struct, frozen=True, kw_only=True):
    """What is served."""

    group: str = "org.ga4gh"
    artifact: str = "wes"
    version: str = "1.1.0"


class WorkflowTypeVersion(Struct, frozen=True, kw_only=True):
    """The versions of one language of workflows."""

    workflow_type_version: list[str]


class WorkflowEngineVersion(Struct, frozen=True, kw_only=True):
    """The versions of one engine."""

    workflow_engine_version: list[str]


class DefaultWorkflowEngineParameter(Struct, frozen=True, kw_only=True):
    """A setting of an engine that a run may bring."""

    name: str
    type: str
    default_value: str


class ServiceInfo(Struct, frozen=True, kw_only=True):
    """The body of `GET /service-info`."""

    id: str
    name: str
    type: ServiceType
    description: str
    organization: Organization
    version: str
    workflow_type_versions: dict[str, WorkflowTypeVersion]
    supported_wes_versions: list[str]
    supported_filesystem_protocols: list[str]
    workflow_engine_versions: dict[str, WorkflowEngineVersion]
    default_workflow_engine_parameters: list[DefaultWorkflowEngineParameter]
    system_state_counts: dict[str, int]
    auth_instructions_url: str
    tags: dict[str, str]
    contactUrl: str | UnsetType = UNSET  # noqa: N815  # the standard's spelling
    documentationUrl: str | UnsetType = UNSET  # noqa: N815  # the standard's spelling
    environment: str | UnsetType = UNSET


class RunId(Struct, frozen=True, kw_only=True):
    """The body of `POST /runs` and of `POST /runs/{run_id}/cancel`."""

    run_id: str


class RunStatus(Struct, frozen=True, kw_only=True):
    """The body of `GET /runs/{run_id}/status`."""

    run_id: str
    state: WesState


class RunSummary(Struct, frozen=True, kw_only=True):
    """A run in a list."""

    run_id: str
    state: WesState
    tags: dict[str, str]
    start_time: str | UnsetType = UNSET
    end_time: str | UnsetType = UNSET


class RunListResponse(Struct, frozen=True, kw_only=True):
    """The body of `GET /runs`."""

    runs: list[RunSummary]
    next_page_token: str
    """Empty on the last page."""
    total: int | UnsetType = UNSET
    """Beyond the standard, when it was requested: the number of runs over all pages."""


class RunRequest(Struct, frozen=True, kw_only=True):
    """The request of a run."""

    workflow_params: dict[str, Any]
    workflow_type: str
    workflow_type_version: str
    workflow_url: str
    tags: dict[str, str]
    workflow_engine_parameters: dict[str, str] | UnsetType = UNSET
    workflow_engine: str | UnsetType = UNSET
    workflow_engine_version: str | UnsetType = UNSET


class Log(Struct, frozen=True, kw_only=True):
    """The command, its times, and the addresses of its output."""

    name: str
    cmd: list[str] | UnsetType = UNSET
    start_time: str | UnsetType = UNSET
    end_time: str | UnsetType = UNSET
    stdout: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    system_logs: list[str] | UnsetType = UNSET


class TaskLog(Struct, frozen=True, kw_only=True):
    """One task of a run in one try."""

    id: str
    name: str
    system_logs: list[str]
    cmd: list[str] | UnsetType = UNSET
    start_time: str | UnsetType = UNSET
    end_time: str | UnsetType = UNSET
    stdout: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET


class TaskListResponse(Struct, frozen=True, kw_only=True):
    """The body of `GET /runs/{run_id}/tasks`."""

    task_logs: list[TaskLog]
    next_page_token: str


class OutputFile(Struct, frozen=True, kw_only=True):
    """One file that a run produced."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    url: str
    kind: OutputKind


class Outputs(Struct, frozen=True, kw_only=True):
    """What a run produced."""

    files: list[OutputFile] | UnsetType = UNSET
    total_files: int | UnsetType = UNSET
    total_bytes: int | UnsetType = UNSET


class RunLog(Struct, frozen=True, kw_only=True):
    """The body of `GET /runs/{run_id}`."""

    run_id: str
    request: RunRequest
    state: WesState
    run_log: Log
    task_logs_url: str
    task_logs: list[TaskLog] | None
    outputs: Outputs


class ErrorResponse(Struct, frozen=True, kw_only=True):
    """The body of every error."""

    msg: str
    status_code: int
