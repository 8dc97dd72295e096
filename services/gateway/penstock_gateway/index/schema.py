"""The tables of the query index. A changed schema has another number; an old file is then discarded and rebuilt."""

from typing import Final

SCHEMA_VERSION: Final = 9

ANY: Final = ""
"""Represents every value in `totals`; a name is never empty."""
HIDDEN: Final = ""
"""Replaces the tenant of a deleted job; no tenant has this name, and no list reads it."""
BLOCK_BITS: Final = 10
"""`blocks` has one row for 2**BLOCK_BITS sequences of the log."""

PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = OFF",  # disposable: a crash of the machine means that it is rebuilt
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32768",  # 32 MiB a connection
    "PRAGMA mmap_size = 268435456",
    "PRAGMA busy_timeout = 5000",
)

TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- One row a job. The key is the sequence of its first event, so that newest first is the key, descending.
CREATE TABLE jobs (
    created_seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    detailed_status TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    owner TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    started_us INTEGER,
    ended_us INTEGER
);
-- Apart from `jobs`, so that looking through filters does not read whole jobs.
CREATE TABLE bodies (created_seq INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- Two rows a label: the token `key`, and `key:value`; and one each for the address of the workflow and the parent.
CREATE TABLE labels (
    tenant TEXT NOT NULL, token TEXT NOT NULL, created_seq INTEGER NOT NULL,
    PRIMARY KEY (tenant, token, created_seq)
) WITHOUT ROWID;
CREATE TABLE label_totals (
    tenant TEXT NOT NULL, token TEXT NOT NULL, detailed_status TEXT NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (tenant, token, detailed_status)
) WITHOUT ROWID;

-- Which jobs brought which bundle of files: the beginning of the hash of its key, for that is enough to keep it.
CREATE TABLE bundles (digest INTEGER NOT NULL, created_seq INTEGER NOT NULL, PRIMARY KEY (digest, created_seq))
WITHOUT ROWID;

-- How many jobs there are for every combination of these three, each of them a value or any.
CREATE TABLE totals (
    tenant TEXT NOT NULL, pipeline TEXT NOT NULL, owner TEXT NOT NULL, detailed_status TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (tenant, pipeline, owner, detailed_status)
) WITHOUT ROWID;

-- The earliest and latest creation within a stretch of the log, and the same of starts and ends. Times are nearly in
-- the order of the log, but not exactly: clocks of gateways differ, and jobs overtake one another. So a window of time
-- becomes a few stretches, and only their ends are looked at.
CREATE TABLE blocks (
    tenant TEXT NOT NULL, block INTEGER NOT NULL,
    created_us_low INTEGER NOT NULL, created_us_high INTEGER NOT NULL,
    started_us_low INTEGER, started_us_high INTEGER, ended_us_low INTEGER, ended_us_high INTEGER,
    total INTEGER NOT NULL, PRIMARY KEY (tenant, block)
) WITHOUT ROWID;

-- Text is folded before it is stored, so the tokenizer need not.
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'trigram case_sensitive 1');
"""

INDICES: Final = (
    # Each ends with the key, so that jobs of one detailed status come in order; several are merged.
    "CREATE INDEX IF NOT EXISTS by_detailed_status ON jobs (tenant, detailed_status)",
    "CREATE INDEX IF NOT EXISTS by_pipeline ON jobs (tenant, pipeline, detailed_status)",
    "CREATE INDEX IF NOT EXISTS by_owner ON jobs (tenant, owner, detailed_status)",
    "CREATE INDEX IF NOT EXISTS by_pipeline_owner ON jobs (tenant, pipeline, owner, detailed_status)",
    # What changed since a moment.
    "CREATE INDEX IF NOT EXISTS by_seq ON jobs (seq)",
    # What retention deletes: the jobs that ended first.
    "CREATE INDEX IF NOT EXISTS by_end ON jobs (detailed_status, ended_us) WHERE ended_us IS NOT NULL",
)
"""Built once a new file is filled: to sort a million rows once is quicker than to insert each in six places."""
