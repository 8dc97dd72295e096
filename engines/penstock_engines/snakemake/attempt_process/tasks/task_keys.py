"""The key of a task in the cache: the SHA-256 of everything that determines its outputs.

Snakemake's own provenance hash leaves out wildcards, and replaces the content of intermediate files by the hash of the
rules that made them, so that two different tasks can have one hash. This key has the content of every input, the
command with all of its values, the code of a script, parameters, configuration and software.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import hashlib
import json
import os
import stat
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from snakemake import script, wrapper
from snakemake.io import is_flagged

from penstock_engines.snakemake.attempt_process.graph import plain_wildcards
from penstock_engines.snakemake.attempt_process.patches import named_items
from penstock_engines.snakemake.messages import MAX_CHECKED_OUTPUTS, MAX_VALUE_CHARS

FORMAT: Final = 1
"""With another number no earlier entry is found."""
NEVER: Final = ("pipe", "service", "directory", "update", "before_update")
"""Flags of outputs that are not kept: they are no regular files, or depend on what was there before."""
_COPY_BYTES: Final = 1 << 20


class TaskKeys:
    """Computes keys.

    Args:
        every_rule: whether every rule counts, and not only those with `cache: true`.

    """

    def __init__(self, *, every_rule: bool) -> None:
        self._every_rule = every_rule
        self._contents: dict[tuple[str, int, int], str] = {}

    def outputs_of(self, job: Any) -> tuple[str, ...] | None:
        """Return the outputs of a job, relative to the work directory; `None`: it takes no part in the cache."""
        if job.is_group() or job.is_norun or job.is_run or job.is_template_engine or job.rule.is_checkpoint:
            return None
        is_declared = bool(job.rule.cache and job.rule.cache.output)
        if not (is_declared or self._every_rule) or job.benchmark or not job.output:
            return None
        if any(output.is_storage or any(is_flagged(output, flag) for flag in NEVER) for output in job.output):
            return None
        paths = tuple(os.path.relpath(str(output)) for output in job.output)
        is_plain = all(not path.startswith("..") and len(path) <= MAX_VALUE_CHARS for path in paths)
        return paths if is_plain and len(paths) <= MAX_CHECKED_OUTPUTS else None

    def key_of(self, job: Any) -> str | None:
        """Return the key of a job that takes part; `None`: not all that determines its outputs is known."""
        try:
            text = json.dumps(self._parts(job), sort_keys=True)
        except (TypeError, ValueError, OSError):
            return None
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _parts(self, job: Any) -> dict[str, Any]:
        """Return everything that determines the outputs of a job.

        Raises:
            TypeError, ValueError, OSError: a part cannot be represented or read.

        """
        rule = job.rule
        parts: dict[str, Any] = {
            "format": FORMAT,
            "snakemake": metadata.version("snakemake"),
            "python": list(sys.version_info[:3]),
            "wildcards": plain_wildcards(job),
            "params": [[name, value] for name, value in named_items(job.params)],
            "threads": job.threads,
            "input": [[name, str(path), self._content(str(path))] for name, path in named_items(job.input)],
            "output": [[name, str(path)] for name, path in named_items(job.output)],
            "log": [str(path) for path in job.log],
            "software": _software(job),
            "shadow": str(rule.shadow_depth),
        }
        if job.is_shell:
            parts["command"] = [rule.shellcmd, job.shellcmd]
            return parts
        parts["resources"] = {name: value for name, value in job.resources.items() if name != "tmpdir"}
        parts["config"] = rule.workflow.globals.get("config", {})
        parts["code"] = _code(job)
        return parts

    def _content(self, path: str) -> str:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("an input is no regular file")
        known = (os.path.realpath(path), status.st_size, status.st_mtime_ns)
        if known not in self._contents:
            content_hash = hashlib.sha256()
            with Path(path).open("rb") as opened:
                while piece := opened.read(_COPY_BYTES):
                    content_hash.update(piece)
            self._contents[known] = content_hash.hexdigest()
        return self._contents[known]


def _code(job: Any) -> str:
    rule, sourcecache = job.rule, job.rule.workflow.sourcecache
    if job.is_wrapper:
        prefix = rule.workflow.workflow_settings.wrapper_prefix
        path = wrapper.get_script(rule.wrapper, sourcecache=sourcecache, prefix=prefix)
    else:
        path = rule.script or rule.notebook
    if not path:
        raise ValueError("a rule of another kind")
    found = script.get_source(path, sourcecache, basedir=rule.basedir, wildcards=job.wildcards, params=job.params)
    return str(found[1])


def _software(job: Any) -> list[str]:
    """Return the content of a job's software; the prefix of an environment is named after its content."""
    conda = job.conda_env
    named = [] if conda is None else [hashlib.sha256(conda.content).hexdigest(), Path(str(conda.address)).name]
    return [*named, str(job.container_img_url or ""), str(job.env_modules or "")]
