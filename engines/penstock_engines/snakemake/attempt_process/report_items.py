"""What a workflow marks with `report(...)`, and Snakemake's own report of the run.

Both are made in the attempt's confined process, after the last job: captions are templates of the workflow's author,
and labels may be functions. What cannot be evaluated is stated in the run's log, and is no failure of the run.
Snakemake's own module of reports is large, so only runs that need it import it.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from snakemake.io import apply_wildcards, get_flag_value, glob_wildcards, is_flagged
from snakemake.iocontainers import Snakemake, Wildcards

from penstock_engines.snakemake.attempt_process.software.remote_sources import SourceUnavailable
from penstock_engines.snakemake.messages import (
    MAX_CAPTION_CHARS,
    MAX_LABELS,
    MAX_NAME_CHARS,
    MAX_REPORT_CHARS,
    MAX_VALUE_CHARS,
    FoundReportItem,
    Message,
    OutputsFound,
    ReportItemsFound,
    fit,
    found,
)
from penstock_execution.processes.event_pipe import Reporter
from penstock_schemas.jobs import Finding, FindingKind

MAX_ITEMS: Final = 10_000
"""Report items of one run; further files are outputs without what the report states of them."""
MAX_CAPTION_FILE_CHARS: Final = 64 * 1024
"""Of a caption's template."""


def report_items(dag: Any, reporter: Reporter[Message]) -> None:
    """Report the files that are there and marked for the report, with what is stated of them."""
    chars = 0
    for count, item in enumerate(_items(dag), 1):
        chars += _chars_of(item)
        if count > MAX_ITEMS or chars > MAX_REPORT_CHARS:
            _print("the workflow marks more for its report than is kept: the other files are outputs without captions")
            return
        reporter.report(ReportItemsFound(items=(item,)))


def make_report(dag_api: Any, name: str, reporter: Reporter[Message]) -> None:
    """Make Snakemake's report of the run as a file in the work directory; what prevents it becomes a warning."""
    path = Path(name).absolute()
    try:
        from snakemake.report.html_reporter import ReportSettings

        path.parent.mkdir(parents=True, exist_ok=True)
        dag_api.create_report(reporter="html", report_settings=ReportSettings(path=path))
    except (Exception, SourceUnavailable) as error:  # noqa: BLE001 - an author's templates may raise anything, and the run has ended well
        message = f"Snakemake's report {name} was not made: {type(error).__name__}: {error}"
        _print(message)
        finding = Finding(kind=FindingKind.NOTICE, directive="report", message=fit(message, MAX_VALUE_CHARS))
        reporter.report(found([finding], None))
        return
    reporter.report(OutputsFound(paths=(str(path),)))
    reporter.report(ReportItemsFound(items=(FoundReportItem(path=str(path)),)))


def _items(dag: Any) -> Iterator[FoundReportItem]:
    seen: set[str] = set()
    for job in dag.jobs:
        for file in job.output:
            if is_flagged(file, "report") and str(file) not in seen:
                seen.add(str(file))
                try:
                    yield from _items_of(job, Path(str(file)), get_flag_value(file, "report"))
                except (Exception, SourceUnavailable) as error:  # noqa: BLE001 - the author's functions may raise anything
                    _print(f"what the report states of {file} is left out: {type(error).__name__}: {error}")


def _items_of(job: Any, path: Path, marked: Any) -> Iterator[FoundReportItem]:
    """Yield the items of one output: itself, or for a folder its index page or what matches its patterns."""
    if not path.exists():
        return
    if path.is_dir() and marked.htmlindex:
        yield _item(job, path / str(marked.htmlindex), marked, job.wildcards)
    elif path.is_dir() and marked.patterns and isinstance(marked.patterns, list):
        for pattern in marked.patterns:
            whole = str(path / str(pattern))
            matches = glob_wildcards(whole)._asdict()
            for values in zip(*matches.values(), strict=True):
                wildcards = Wildcards(fromdict=dict(zip(matches, values, strict=True)) | job.wildcards_dict)
                yield _item(job, Path(apply_wildcards(whole, wildcards)), marked, wildcards)
    else:
        yield _item(job, path, marked, job.wildcards)


def _item(job: Any, path: Path, marked: Any, wildcards: Any) -> FoundReportItem:
    from snakemake.report import expand_labels, expand_report_argument

    labels = _evaluated(job, expand_labels(marked.labels, wildcards, job)) or {}
    return FoundReportItem(
        path=fit(str(path.absolute()), MAX_VALUE_CHARS),
        caption=_caption(job, marked.caption, wildcards),
        category=_text(_evaluated(job, expand_report_argument(marked.category, wildcards, job))),
        subcategory=_text(_evaluated(job, expand_report_argument(marked.subcategory, wildcards, job))),
        labels={fit(str(key), MAX_NAME_CHARS) or "_": _text(labels[key]) or "" for key in list(labels)[:MAX_LABELS]},
    )


def _evaluated(job: Any, pending: Any) -> Any:
    return job.rule.workflow.async_run(pending)


def _text(value: Any) -> str | None:
    return None if value is None else fit(str(value), MAX_NAME_CHARS)


def _caption(job: Any, source: Any, wildcards: Any) -> str | None:
    """Return a caption as its author wrote it, in reStructuredText, with what its template inserts."""
    if source is None:
        return None
    from jinja2 import Environment

    rule = job.rule
    with rule.workflow.sourcecache.open(source) as file:
        text = file.read(MAX_CAPTION_FILE_CHARS)
    described = Snakemake(
        job.input,
        job.output,
        job.params,
        wildcards,
        job.threads,
        job.resources,
        job.log,
        rule.module_globals["config"],
        rule.name,
        None,
    )
    # It is no page: what shows it decides what is safe there.
    environment = Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    rendered = environment.from_string(text).render(snakemake=described, categories={}, files=[])
    return fit(rendered.strip(), MAX_CAPTION_CHARS)


def _chars_of(item: FoundReportItem) -> int:
    texts: Iterable[str | None] = (item.path, item.caption, item.category, item.subcategory)
    return sum(len(text or "") for text in texts) + sum(len(key) + len(item.labels[key]) for key in item.labels)


def _print(sentence: str) -> None:
    with contextlib.suppress(Exception):
        sys.stderr.write(f"penstock: {sentence}\n")
