"""Examples for the OpenAPI document. A test decodes each of them."""

from typing import Any, Final

JOB_ID: Final = "550e8400-e29b-41d4-a716-446655440000"

SUBMIT_MOCK: Final[dict[str, Any]] = {
    "pipeline_name": "variant_calling",
    "parameters": {"sample_id": "S001", "genome": "hg38"},
    "description": "Run variant calling on sample S001",
}
SUBMIT_WORKFLOW: Final[dict[str, Any]] = {
    "pipeline_name": "hello",
    "parameters": {"name": "world"},
    "source": {
        "files": {
            "Snakefile": "rule all:\n    output: 'hello.txt'\n    shell: 'echo hello {config[name]} > {output}'\n"
        }
    },
    "labels": {"project": "demo"},
    "priority": 5,
}
JOB: Final[dict[str, Any]] = {
    "id": JOB_ID,
    "status": "pending",
    "pipeline_name": "variant_calling",
    "parameters": {"sample_id": "S001", "genome": "hg38"},
    "description": "Run variant calling on sample S001",
    "created_at": "2026-01-31T10:00:00Z",
    "updated_at": "2026-01-31T10:00:00Z",
    "started_at": None,
    "completed_at": None,
    "error_message": None,
    "state": "QUEUED",
    "status_detail": None,
    "engine": "mock",
    "owner": "anonymous",
    "labels": {},
    "priority": 0,
    "attempt": 0,
    "runner_id": None,
    "failure": None,
    "tasks": {"total": 0, "done": 0, "running": 0, "failed": 0},
    "output_files": 0,
    "output_bytes": 0,
    "seq": 17,
    "pipeline": None,
    "requeue": True,
}
FAILED_JOB: Final[dict[str, Any]] = {
    **JOB,
    "status": "failed",
    "state": "FAILED",
    "updated_at": "2026-01-31T10:00:25Z",
    "started_at": "2026-01-31T10:00:05Z",
    "completed_at": "2026-01-31T10:00:25Z",
    "error_message": "rule align failed with exit code 1",
    "engine": "snakemake",
    "attempt": 1,
    "runner_id": "node7-1f0c22ab",
    "failure": {
        "cause": "workflow",
        "message": "rule align failed with exit code 1",
        "rule": "align",
        "wildcards": {"sample": "S001"},
        "exit_code": 1,
        "stderr_tail": "bwa: reference hg38.fa not found",
    },
    "tasks": {"total": 4, "done": 1, "running": 0, "failed": 1},
    "seq": 42,
}
CANCELLED_JOB: Final[dict[str, Any]] = {
    **JOB,
    "status": "cancelled",
    "state": "CANCELLED",
    "status_detail": "wrong sample",
    "updated_at": "2026-01-31T10:00:03Z",
    "completed_at": "2026-01-31T10:00:03Z",
    "seq": 19,
}
HELD_JOB: Final[dict[str, Any]] = {
    **JOB,
    "state": "HELD",
    "status_detail": "held: the reference is being replaced; it waits until somebody releases it",
    "updated_at": "2026-01-31T10:00:03Z",
    "seq": 19,
}
RELEASED_JOB: Final[dict[str, Any]] = {**JOB, "updated_at": "2026-01-31T10:05:00Z", "seq": 23}
_DAMAGE: Final = "the event log of this job is damaged at sequence 18: the event is missing"
CLOSED_JOB: Final[dict[str, Any]] = {
    **JOB,
    "status": "failed",
    "state": "FAILED",
    "status_detail": None,
    "error_message": _DAMAGE,
    "failure": {"cause": "system", "message": _DAMAGE},
    "updated_at": "2026-01-31T10:00:03Z",
    "completed_at": "2026-01-31T10:00:03Z",
    "seq": 19,
}
CHILD_JOB: Final[dict[str, Any]] = {
    **JOB,
    "id": "7b8f3f0e-2c0a-4b8e-9a53-0d6f5a1c9e21",
    "parent": {"id": JOB_ID, "kind": "retry", "is_deleted": False, "result_files": 3, "result_bytes": 20480},
    "seq": 51,
}
JOB_LIST: Final[dict[str, Any]] = {"jobs": [JOB], "total": 1, "next_cursor": None}
EVENTS: Final[dict[str, Any]] = {
    "events": [
        {
            "seq": 17,
            "type": "JobSubmitted",
            "id": "0d3f1d0cbb0e4b7e9a0b61b4d7c7f3a1",
            "aggregate": f"job.default.{JOB_ID}",
            "version": 1,
            "time": "2026-01-31T10:00:00Z",
            "actor": "user:anonymous",
            "cause": None,
            "previous": "",
            "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "schema": 1,
            "data": {
                "type": "JobSubmitted",
                "job_id": JOB_ID,
                "spec": {
                    "pipeline_name": "variant_calling",
                    "parameters": {"sample_id": "S001", "genome": "hg38"},
                    "engine": "mock",
                },
            },
        }
    ],
    "next_after": 17,
    "done": False,
}
TASKS: Final[dict[str, Any]] = {
    "tasks": [
        {
            "id": "align-1",
            "job_id": JOB_ID,
            "attempt": 1,
            "name": "align",
            "state": "completed",
            "wildcards": {"sample": "S001"},
            "exit_code": 0,
        }
    ],
    "counts": {"total": 4, "done": 1, "running": 1, "failed": 0},
    "next_after": None,
    "done": False,
}
LOGS: Final[dict[str, Any]] = {
    "entries": [
        {
            "position": 3,
            "attempt": 1,
            "stream": "stderr",
            "text": "[M::bwa_idx_load_from_disk] read 0 ALT contigs\n",
            "time": "2026-01-31T10:00:06Z",
            "task_id": "align-1",
        }
    ],
    "next_after": 3,
    "done": False,
    "source": "live",
}
OUTPUTS: Final[dict[str, Any]] = {
    "job_id": JOB_ID,
    "attempt": 1,
    "files": [
        {
            "path": "results/S001.vcf",
            "size_bytes": 48211,
            "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "url": f"/jobs/{JOB_ID}/outputs/results/S001.vcf",
        }
    ],
    "total_bytes": 48211,
}
SOFTWARE: Final[dict[str, Any]] = {
    "job_id": JOB_ID,
    "attempt": 1,
    "items": [
        {
            "kind": "environment",
            "label": "envs/bwa.yaml",
            "identity": "4c1f9b6e0a3d5e72",
            "is_cached": True,
            "packages": [{"name": "bwa", "version": "0.7.18", "build": "h577a1d6_2"}],
        }
    ],
}
REGISTER_PIPELINE: Final[dict[str, Any]] = {
    "name": "hello",
    "version": "1.0",
    "description": "Prints hello",
    "source": SUBMIT_WORKFLOW["source"],
    "parameters_schema": {
        "type": "object",
        "properties": {"name": {"type": "string", "minLength": 1}},
        "additionalProperties": False,
    },
    "defaults": {"name": "world"},
}
PIPELINE_VERSION: Final[dict[str, Any]] = {
    "name": "hello",
    "version": "1.0",
    "engine": "snakemake",
    "description": "Prints hello",
    "parameters_schema": REGISTER_PIPELINE["parameters_schema"],
    "defaults": {"name": "world"},
    "engine_parameters": {"cores": "2"},
    "resources": {"cores": 2},
    "preset": None,
    "labels": {},
    "source": {
        "kind": "files",
        "location": "pipelines/hello/1.0/c154ee8ac18f.json",
        "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "size_bytes": 120,
    },
    "registered_at": "2026-01-31T09:00:00Z",
    "registered_by": "user:anonymous",
    "retired_at": None,
    "event_id": "5b1d7e3c0f5e4f0c8f9c5b7a3c2d1e0f",
    "seq": 12,
}
PIPELINE: Final[dict[str, Any]] = {"name": "hello", "newest": "1.0", "versions": [PIPELINE_VERSION]}
PIPELINE_LIST: Final[dict[str, Any]] = {
    "pipelines": [
        {"name": "hello", "newest": "1.0", "engine": "snakemake", "description": "Prints hello", "versions": ["1.0"]}
    ],
    "next_after": None,
}
RUNNERS: Final[dict[str, Any]] = {
    "runners": [
        {
            "id": "node7-1f0c22ab",
            "name": "node7",
            "engines": {"mock": "0.1.0", "snakemake": "9.27.1"},
            "slots": 8,
            "busy": 3,
            "draining": False,
            "seen_at": "2026-01-31T10:00:06Z",
        }
    ]
}
STATUS: Final[dict[str, Any]] = {
    "log": {
        "events": 48211,
        "bytes": 21094400,
        "max_bytes": 17179869184,
        "last_seq": 48211,
        "replicas": 3,
        "server_version": "2.15.1",
    },
    "projected_seq": 48211,
    "lag": 0,
    "scheduler": {"holder": "scheduler-5d0cbd51", "term": 2, "seen_at": "2026-01-31T10:00:06Z"},
}
TOKEN: Final[dict[str, Any]] = {
    "id": "5c1f09a3be7d2e40",
    "name": "nightly run",
    "principal": "ada",
    "tenant": "default",
    "role": "submitter",
    "issued_at": "2026-01-31T10:00:00Z",
    "issued_by": "user:ada",
    "expires_at": "2026-03-02T10:00:00Z",
    "revoked_at": None,
}
ISSUED_TOKEN: Final[dict[str, Any]] = {
    "token": "pst_5c1f09a3be7d2e40_q3Zr0mWc7nL1xVb5tYk8sJd2hGf4aPu6eRo9iQw",
    "details": TOKEN,
}
INVALID: Final[dict[str, Any]] = {
    "type": "/docs/problems#invalid-request",
    "title": "The request is not valid",
    "status": 422,
    "detail": "#/pipeline_name: this field is required and missing",
    "errors": [{"pointer": "#/pipeline_name", "detail": "this field is required and missing"}],
}
NOT_FOUND: Final[dict[str, Any]] = {
    "type": "/docs/problems#not-found",
    "title": "Not found",
    "status": 404,
    "detail": f"Job {JOB_ID} was not found.",
}
WORK_FILES: Final[dict[str, Any]] = {
    "job_id": JOB_ID,
    "path": "logs",
    "entries": [
        {"path": "logs/align.log", "is_folder": False, "size_bytes": 512, "note": ""},
        {"path": "logs/latest", "is_folder": False, "size_bytes": 9, "note": "a link"},
    ],
    "is_cut": False,
    "kept_until": "2026-02-01T10:00:25Z",
}
