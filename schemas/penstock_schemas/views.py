"""What the log folds into: jobs, their tasks and outputs; and the reports of runners and of the scheduler."""

from datetime import datetime
from enum import Enum

from msgspec import Struct, field

from penstock_schemas.events import GENESIS_HASH
from penstock_schemas.ids import JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Damage, Failure, JobState, StoredResults, TaskCounts, UnsupportedDirectives
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.outputs import TaskFile


class Head(Struct, frozen=True, kw_only=True):
    """The last event of an aggregate: what the next one is appended to."""

    seq: int = 0
    """Its sequence in the log; 0 when the aggregate has no event."""
    version: int = 0
    hash: str = GENESIS_HASH
    """SHA-256 of its stored bytes."""


EMPTY_HEAD = Head()
"""The head of an aggregate that has no event yet."""


class JobLifecycle(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Where a job is in its life: all that the rules of `penstock_domain.job` depend on."""

    id: JobId
    tenant: TenantId
    state: JobState
    head: Head
    request_sha256: str = ""
    """Of the request that submitted it."""
    can_requeue: bool = True
    """Whether an attempt that had started is made again when its runner is stopped or lost."""
    attempt: int = 0
    """The last attempt that was assigned; 0 before the first."""
    runner_id: RunnerId | None = None
    """The runner of the attempt, or of the last attempt of a job that ended; `None` while it waits."""
    requeues: int = 0
    """Attempts that ended without an outcome, other than by the stop or the end of their runner."""
    runner_crashes: int = 0
    """Attempts whose runner ended or was lost while it had the job."""
    crashes_alone: int = 0
    """Those of them in which the runner had no other job."""
    is_alone: bool = False
    """Whether no other job may run on the runner of the current attempt."""
    slots: int = 1
    """Of the current attempt."""
    gpus: tuple[str, ...] = ()
    """Those that the current attempt has alone."""
    not_before: datetime | None = None
    """The next attempt starts no earlier."""
    cancel_reason: str | None = None
    damage: Damage | None = None
    """What is wrong with its events; nothing happens to it until an operator closes it."""
    deleted_at: datetime | None = None
    """When its data was removed; then only its name, its owner and how it ended are left of it."""


class Job(JobLifecycle, frozen=True, kw_only=True, omit_defaults=True):
    """A job: the fold of its events. The jobs KV holds one under the key of each job."""

    spec: JobSpec
    created_at: datetime
    updated_at: datetime
    created_seq: int
    """The sequence of its first event: lists are in the descending order of it."""
    started_at: datetime | None = None
    """When the last attempt started."""
    completed_at: datetime | None = None
    failure: Failure | None = None
    requeue_reason: str | None = None
    results_delay: str | None = None
    """Why the results of the last attempt could not be stored, as reported last; `None` without such a report."""
    results_tries: int = 0
    """The number of the next try to store them, as reported last."""
    tasks: TaskCounts = TaskCounts()
    output_files: int = 0
    output_bytes: int = 0
    measured: MeasuredResources | None = None
    """What the processes of the last attempt used, once it ended."""
    hold_reason: str | None = None
    """Why it is held; `None` while it is not, and where no reason was given."""
    warnings: tuple[str, ...] = ()
    """What its user must know of the last attempt that ended, one sentence each."""
    results: StoredResults | None = None
    """What a retry can begin with; `None`: nothing was stored, or the job succeeded."""


class TaskState(Enum):
    """The state of one task of a run."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskKind(Enum):
    """What a task of a run is. Only rules count as tasks of the job."""

    RULE = "rule"
    """A job of the workflow."""
    ENVIRONMENT = "environment"
    """The preparation of a software environment that rules declare."""
    IMAGE = "image"
    """The preparation of a container image that rules declare."""
    FETCH = "fetch"
    """The download of a file that the workflow names by its address."""


class Task(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last view of one task in one attempt of a job: for Snakemake, one job of its graph in one try."""

    id: str
    """A token, stable for (job attempt, rule, wildcards, try)."""
    job_id: JobId
    attempt: int
    """The job's attempt."""
    name: str
    """The rule; of another kind of task, what is prepared: `conda: envs/bwa.yaml`."""
    state: TaskState
    kind: TaskKind = TaskKind.RULE
    try_number: int = 1
    """Counts the tries within the attempt: a rule's own `retries:`."""
    wildcards: dict[str, str] = field(default_factory=dict[str, str])
    command: str | None = None
    reason: str | None = None
    resources: dict[str, int | float | str] = field(default_factory=dict[str, int | float | str])
    """What its rule requests."""
    measured: MeasuredResources | None = None
    """What its processes used, once it ended."""
    depends_on: tuple[str, ...] = ()
    is_checkpoint: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    message: str | None = None
    cached_from: JobId | None = None
    """The job whose task made its outputs: it did not run, because they were in the cache."""
    stdout_key: str | None = None
    """The blob that holds its whole standard output, once it ended."""
    stderr_key: str | None = None
    stdout_sha256: str | None = None
    stderr_sha256: str | None = None
    files: tuple[TaskFile, ...] = ()
    """Its `log:` and `benchmark:` files, once it ended and they are stored."""
    updated_at: datetime | None = None


LIVE_LOG_GAP = "left out of the live log"
"""Marks the places of the live log where text was left out; stored logs are complete."""


class LogStream(Enum):
    """Where a line of log came from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    ENGINE = "engine"
    """The engine's own text about the run: the standard error of its main process, and of what that starts."""
    WORKFLOW = "workflow"
    """What the workflow's main process prints, and what that starts and is no task: their standard output."""
    FILE = "file"
    """A `log:` or `benchmark:` file of a task: it is read when its task has ended, and is no part of the live log."""


class LogChunk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a run's log, whole lines where possible."""

    job_id: JobId
    attempt: int
    stream: LogStream
    text: str
    time: datetime
    task_id: str | None = None


class SandboxLevel(Enum):
    """How far workflows are kept from what is not their own."""

    FULL = "full"
    PARTIAL = "partial"
    """The kernel cannot do all of it."""
    NONE = "none"
    """It was wanted, and the kernel cannot do it."""
    OFF = "off"
    """It was not wanted."""


class RunnerHeartbeat(Struct, frozen=True, kw_only=True):
    """A runner's report of every second; without it the runner is lost."""

    runner_id: RunnerId
    count: int
    """Grows with every heartbeat of this runner session."""
    time: datetime
    name: str
    slots: int
    busy: int
    engines: dict[str, str]
    draining: bool = False
    cores: int = 0
    """Of each slot; 0: not known."""
    gpus: int = 0
    """How many it has."""
    sandbox: SandboxLevel | None = None
    """`None`: not reported, because it is older than this field."""
    sandbox_lacks: tuple[str, ...] = ()
    """What a workflow still may do that the full sandbox would refuse."""
    unsupported_directives: UnsupportedDirectives | None = None
    """What it does with runs that declare software that it does not provide."""
    provides: tuple[str, ...] = ()
    """Directives of workflows for which it prepares the software: `conda`, `container`."""


class SlotHolder(Struct, frozen=True, kw_only=True):
    """A job that holds a slot."""

    job_id: JobId
    tenant: TenantId
    owner: str
    runner_id: RunnerId


class EngineQueue(Struct, frozen=True, kw_only=True):
    """The queue of one engine."""

    slots: int
    """Of runners that take new work."""
    free: int
    """Of these, those that no job holds."""
    waiting: int
    """Jobs that wait for it, without those whose back-off lasts."""
    first: tuple[JobId, ...] = ()
    """The first of them, in the order in which they start."""
    free_for: dict[str, int] = field(default_factory=dict[str, int])
    """Of jobs that wait and declare software, by their demand: the free slots of runners that they may start on."""
    holders: tuple[SlotHolder, ...] = ()
    """Jobs that hold its slots: at most a few, the oldest first."""
    cores: int = 0
    """Of the largest runner, in all of its slots."""
    gpus: int = 0
    """Of the runner that has the largest number of them."""
    free_cores: int = 0
    """The largest number that a job could get of one runner now."""
    free_gpus: int = 0


class OwnerLoad(Struct, frozen=True, kw_only=True):
    """An owner whose jobs hold as many slots as they may."""

    tenant: TenantId
    owner: str
    running: int
    holders: tuple[SlotHolder, ...] = ()
    """Its jobs that hold a slot: at most a few, the oldest first."""


class QueueSummary(Struct, frozen=True, kw_only=True):
    """What the leading scheduler knows of the queue: enough to name the reason why a job waits."""

    engines: dict[str, EngineQueue] = field(default_factory=dict[str, EngineQueue])
    running: int = 0
    """Jobs that hold a slot."""
    holders: tuple[SlotHolder, ...] = ()
    """At most a few of them, the oldest first."""
    max_running: int | None = None
    max_running_per_owner: int | None = None
    full_owners: tuple[OwnerLoad, ...] = ()


class SchedulerBeat(Struct, frozen=True, kw_only=True):
    """The leading scheduler's report of every second, so that a standby knows when to take over."""

    holder: str
    term: int
    count: int
    time: datetime
    queue: QueueSummary | None = None
    """The state of the queue."""
    damaged: int = 0
    """How many events of the log are known to be damaged."""
    damages: tuple[Damage, ...] = ()
    """The first of them."""
