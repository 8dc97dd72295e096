"""Every name that this layer shares with a NATS server: streams, subjects, headers, error codes, and every bound.

Nothing here may change its meaning: logs that exist are read by it.
"""

from typing import Final

# --- Streams -------------------------------------------------------------------------------------------------------

EVENTS: Final = "PENSTOCK_EVENTS"
"""The log. File, limits without age, nothing is ever deleted; full means that it refuses what is new."""
TASKS: Final = "PENSTOCK_TASKS"
"""The last view of each task of a job, for 30 days."""
LOGS: Final = "PENSTOCK_LOGS"
"""The live tail of runs' logs; bounded by age and bytes, the oldest goes first. Whole logs are blobs."""
JOBS: Final = "KV_penstock_jobs"
"""The materialized jobs and the projector's checkpoint: a key-value bucket made raw, for it needs atomic batches."""
BEATS: Final = "KV_penstock_runners"
"""Heartbeats, in memory, each forgotten after `lease.HEARTBEAT_TTL_S`."""
SNAPSHOTS: Final = "KV_penstock_snapshots"
"""Folded states, in pieces."""

# --- Subjects ------------------------------------------------------------------------------------------------------

EVENTS_PREFIX: Final = "penstock.events."
"""Before an aggregate's name: `penstock.events.job.<tenant>.<job_id>`."""
LIVE_PREFIX: Final = "penstock.live."
"""Before `<tenant>.<type>.<job_id>`: the live feed, published after acceptance, stored nowhere."""
PLANS_PREFIX: Final = "penstock.plans."
"""Before an engine's name: requests for plans, stored nowhere."""
PLANS_QUEUE: Final = "planners"
"""The queue group: one runner answers each request."""
FILES_PREFIX: Final = "penstock.files."
"""Before a runner's name: requests for files of its work directories, stored nowhere."""
TASKS_PREFIX: Final = "penstock.tasks."
"""Before `<tenant>.<job_id>.task.<place>.<task_id>` and `<tenant>.<job_id>.counts`. By the place a page is read without
the others; a task has the same one for good."""
LOGS_PREFIX: Final = "penstock.logs."
"""Before `<tenant>.<job_id>`."""
JOBS_PREFIX: Final = "$KV.penstock_jobs."
JOBS_CHECKPOINT: Final = JOBS_PREFIX + "checkpoint"
JOBS_KEY_PREFIX: Final = JOBS_PREFIX + "job."
"""Before a job's id."""
BEATS_PREFIX: Final = "$KV.penstock_runners."
BEATS_RUNNER_PREFIX: Final = BEATS_PREFIX + "runner."
"""Before a runner's id."""
BEATS_SCHEDULER: Final = BEATS_PREFIX + "scheduler"
SNAPSHOTS_PREFIX: Final = "$KV.penstock_snapshots."
"""Before `<name>.manifest` and `<name>.piece.<generation>.<number>`."""

API: Final = "$JS.API."
DIRECT_GET: Final = API + "DIRECT.GET."
"""Before a stream: a read that any replica answers."""
LEADER_GET: Final = API + "STREAM.MSG.GET."
"""Before a stream: a read that its leader answers."""
CONSUMER_CREATE: Final = API + "CONSUMER.CREATE."
CONSUMER_DELETE: Final = API + "CONSUMER.DELETE."
CONSUMER_NEXT: Final = API + "CONSUMER.MSG.NEXT."
STREAM_CREATE: Final = API + "STREAM.CREATE."
STREAM_UPDATE: Final = API + "STREAM.UPDATE."
STREAM_INFO: Final = API + "STREAM.INFO."
STREAM_PURGE: Final = API + "STREAM.PURGE."

# --- Headers -------------------------------------------------------------------------------------------------------

EXPECTED_SEQ: Final = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SEQ_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
MESSAGE_ID: Final = "Nats-Msg-Id"
"""Only on entries that nothing but a fence protects: a batch that arrives twice is then refused the second time."""
BATCH_ID: Final = "Nats-Batch-Id"
BATCH_SEQUENCE: Final = "Nats-Batch-Sequence"
BATCH_COMMIT: Final = "Nats-Batch-Commit"
STATUS: Final = "Status"
DESCRIPTION: Final = "Description"
SEQUENCE: Final = "Nats-Sequence"
SUBJECT: Final = "Nats-Subject"
NUM_PENDING: Final = "Nats-Num-Pending"
PENDING_MESSAGES: Final = "Nats-Pending-Messages"
"""What a NEXT request had requested and will not get."""
LAST_CONSUMER: Final = "Nats-Last-Consumer"
"""On a heartbeat: how many messages the consumer delivered."""
GENERATION: Final = "Penstock-Generation"
"""Of a snapshot."""
SEQ: Final = "Penstock-Seq"
"""The event's sequence in the log, on live messages."""
CE_ID: Final = "ce-id"
CE_TYPE: Final = "ce-type"
CE_SOURCE: Final = "ce-source"
CE_SUBJECT: Final = "ce-subject"
CE_TIME: Final = "ce-time"
CE_SPECVERSION: Final = "ce-specversion"
CONTENT_TYPE: Final = "content-type"

# --- Statuses (in a header) and error codes of the server ------------------------------------------------------------

STATUS_HEARTBEAT: Final = "100"
STATUS_END: Final = "204"
"""The end of a batched direct get."""
STATUS_NOT_FOUND: Final = "404"
STATUS_EXPIRED: Final = "408"
STATUS_NO_RESPONDERS: Final = "503"

WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
"""An expectation does not hold. On R3 also when another write to the subject is in flight."""
DUPLICATE_IN_BATCH: Final = 10201
"""A message id of the batch is stored already."""
STORE_FAILED: Final = 10077
"""The stream's store refused the message: for a stream that discards new ones, it is full."""
STORAGE_EXCEEDED: Final = frozenset({10023, 10028, 10047})
"""The account's or the server's storage is used up."""
MESSAGE_TOO_LARGE: Final = frozenset({10054, 10097})
BATCH_TOO_LARGE: Final = 10199
STREAM_NOT_FOUND: Final = 10059
STREAM_NAME_IN_USE: Final = 10058
"""A stream of this name exists with another configuration."""
NO_MESSAGE: Final = 10037
TOO_FEW_SERVERS: Final = frozenset({10005, 10074})
"""There are not as many servers as replicas are requested."""
JETSTREAM_NOT_ENABLED: Final = frozenset({10039, 10076})

# --- Bounds --------------------------------------------------------------------------------------------------------

MINIMUM_SERVER: Final = (2, 15, 1)
"""Earlier versions lost data in ways that no client can repair."""
MAX_BATCH_MESSAGES: Final = 1000
"""The server takes no more in an atomic batch."""
MAX_BATCH_BYTES: Final = 16 << 20
"""A group of appends leaves as one batch up to this size; a single append may be larger."""
MAX_WAITING_APPENDS: Final = 20_000
"""Appends that wait for their group; further ones fail because the log is not available."""
ATTEMPT_S: Final = 3.0
"""One try of a request, within the caller's deadline."""
RETRY_WAIT_S: Final = (0.02, 0.05, 0.1, 0.25)
"""Waits between tries; the last one repeats until the deadline."""
READ_REQUEST_MESSAGES: Final = 5000
READ_REQUEST_BYTES: Final = 16 << 20
"""Of one request of a reader; two are open at a time, and the server drops a client that is 64 MiB behind."""
READ_REQUEST_EXPIRES_S: Final = 30.0
READ_HEARTBEAT_S: Final = 1.0
READ_SILENCE_S: Final = 3.5
"""A reader that receives nothing for so long, heartbeats included, begins again at its position."""
READ_IDLE_WAITS: Final = 2
"""After so many waits of `READ_HEARTBEAT_S` without a message, a reader of the whole log checks whether it read all."""
UNREACHABLE_SEQ: Final = 1 << 62
"""An append that expects this sequence is refused, and the refusal names the right one."""
CONSUMER_IDLE_S: Final = 60.0
"""The server forgets a reader's consumer after so long without a request."""
DIRECT_BATCH_MESSAGES: Final = 1000
DIRECT_MULTI_SUBJECTS: Final = 500
"""The server takes up to 1,024 subjects in one consistent read."""
SNAPSHOT_PIECE_BYTES: Final = 512 << 10
SNAPSHOT_BATCH_PIECES: Final = 16
TASKS_AGE_S: Final = 30 * 24 * 3600.0
LOGS_AGE_S: Final = 7 * 24 * 3600.0
LOGS_MAX_BYTES: Final = 1 << 30
DUPLICATE_WINDOW_S: Final = 120.0
"""How long the server remembers message ids: longer than any append is retried."""
RECONNECT_WAIT_S: Final = (0.05, 0.25)
"""Between two tries to reach a server, chosen at random between these."""
CONNECT_TRY_S: Final = 2.0
PING_INTERVAL_S: Final = 5
WRITE_MESSAGES: Final = 100
"""Messages of a batch that leave in one buffer."""
HEADER_ROOM_BYTES: Final = 64
"""The first line of a message's headers, and what ends them."""
OUTBOUND_BUFFER_BYTES: Final = 8 << 20
REMEMBERED_JOBS: Final = 1000
"""Jobs whose tasks' order of appearance is remembered without a request to the server."""
VIEW_READ_S: Final = 10.0
VIEW_WRITE_S: Final = 30.0
"""How long reads and writes of views are tried where the port names no deadline."""
LEADER_READS: Final = 32
"""Reads of single messages from a leader that are open at a time."""
SNAPSHOT_READ_S: Final = 10.0
"""How long a snapshot is read again whose pieces are not all there: a replica may lag, or recover from a kill."""
LIVENESS_READ_S: Final = 3.0
BLOB_S: Final = 60.0
"""One operation on a blob of moderate size, or one step of a large one."""
BLOB_PARALLEL_PARTS: Final = 4
"""Parts of a large blob, of 5 MiB each, that are on their way at a time: more would only take memory."""
LOG_POLL_S: Final = 0.25
"""A waiting reader of a log's tail looks again at least so often."""
