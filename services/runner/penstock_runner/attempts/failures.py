"""The failure of an attempt, as the log records it."""

from typing import Final

from msgspec.structs import replace

from penstock_execution.engine import Outcome
from penstock_runner.attempts.upload_retries import UploadFailed
from penstock_runner.attempts.uploads import UnreadableOutput
from penstock_runtime import exception_groups
from penstock_schemas.jobs import Failure, FailureCause, Finding, FindingKind
from penstock_sources.workspace.layout import SourceRefused

MAX_MESSAGE_CHARS: Final = 4_000
MAX_STDERR_CHARS: Final = 16_000
"""Of each text that a failure quotes."""
MAX_LOG_TAILS: Final = 4
MAX_PATH_CHARS: Final = 1_000
MAX_WARNINGS: Final = 50
"""Of one run, in the log of events."""
MAX_WARNING_CHARS: Final = 500


def failure_of(error: BaseException) -> Failure | None:
    """Return the failure that an error means; `None` when another attempt may go better."""
    if isinstance(error, SourceRefused):
        return error.failure
    if isinstance(error, UploadFailed):
        return Failure(cause=FailureCause.SYSTEM, message=str(error))
    if isinstance(error, UnreadableOutput):
        return Failure(cause=FailureCause.WORKFLOW, message=str(error))
    if any(map(exception_groups.is_disk_full, exception_groups.leaves(error))):
        return Failure(
            cause=FailureCause.SYSTEM, message="the runner's disk is full: no space left for the run's files"
        )
    return None


def text_of(error: BaseException) -> str:
    """Return an error in words."""
    [first, *more] = exception_groups.leaves(error)
    text = f"{type(first).__name__}: {first}" if str(first) else type(first).__name__
    return f"{text} (and {len(more)} more)" if more else text


def warnings_of(outcome: Outcome) -> tuple[str, ...]:
    """Return findings as the warnings that an event has room for; what the results depend on comes first.

    The failure of a refused run already names what is not supported.
    """
    is_refused = outcome.refusal is not None
    findings = [finding for finding in outcome.findings if not (is_refused and finding.kind is FindingKind.UNSUPPORTED)]
    ordered = sorted(findings, key=lambda finding: finding.kind is not FindingKind.UNSUPPORTED)
    sentences = [_sentence(item)[:MAX_WARNING_CHARS] for item in ordered[:MAX_WARNINGS]]
    if len(ordered) > MAX_WARNINGS:
        sentences.append(f"{len(ordered) - MAX_WARNINGS} more warnings are not listed")
    return tuple(sentences)


def _sentence(finding: Finding) -> str:
    if finding.kind is FindingKind.UNSUPPORTED:
        return f"{finding.message}, which this runner does not provide"
    return finding.message


def bounded(failure: Failure) -> Failure:
    """Return a failure that an event has room for."""
    return replace(
        failure,
        message=failure.message[:MAX_MESSAGE_CHARS],
        stderr_tail=_end_of(failure.stderr_tail),
        stdout_tail=_end_of(failure.stdout_tail),
        log_tails=tuple(
            replace(tail, path=tail.path[:MAX_PATH_CHARS], text=tail.text[-MAX_STDERR_CHARS:])
            for tail in failure.log_tails[:MAX_LOG_TAILS]
        ),
    )


def _end_of(text: str | None) -> str | None:
    return None if text is None else text[-MAX_STDERR_CHARS:]
