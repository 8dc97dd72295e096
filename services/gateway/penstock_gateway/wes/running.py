"""Runs: submitted and listed."""

from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from pathlib import PurePosixPath

import anyio.to_thread
from msgspec.structs import replace

from penstock_domain.access import NEEDED_TO_SUBMIT, require_role
from penstock_gateway.catalogue.choosing import similar
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.http.bodies.json_bodies import ASIDE_BYTES
from penstock_gateway.http.bodies.multipart import MultipartForm
from penstock_gateway.http.bodies.urlencoded import UrlencodedForm
from penstock_gateway.http.problems import Invalid
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.job_lists import JobLists
from penstock_gateway.jobs.submission.submissions import Submissions
from penstock_gateway.operations.wes_models import RunListResponse
from penstock_gateway.wes.queries import RunQuery
from penstock_gateway.wes.rendering import summary_of
from penstock_gateway.wes.run_requests import (
    ATTACHMENT,
    ATTACHMENTS,
    FIELDS,
    Offered,
    part_of,
    read_run_request,
    read_text,
)
from penstock_gateway.wes.tokens import RunPlace
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.access import Principal
from penstock_schemas.api import Violation
from penstock_schemas.views import Job
from penstock_sources.failures import InvalidSource
from penstock_sources.staging.source_kinds import needs_staging
from penstock_sources.staging.source_staging import SourceStaging
from penstock_sources.staging.uploads import Upload


class RunSubmissions:
    """Takes runs.

    Args:
        submissions: makes jobs.
        staging: unpacks attached archives.
        catalogue: the workflows that can be run by name.
        engine_directory: which engines are offered.
        roots: the folders below which a workflow's address may lead.

    """

    def __init__(
        self,
        submissions: Submissions,
        staging: SourceStaging,
        catalogue: Catalogue,
        engine_directory: EngineDirectory,
        roots: tuple[PurePosixPath, ...],
    ) -> None:
        self._submissions = submissions
        self._staging = staging
        self._catalogue = catalogue
        self._engine_directory = engine_directory
        self._roots = roots

    async def submit(self, principal: Principal, form: MultipartForm | UrlencodedForm, *, key: str | None) -> Job:
        """Queue the run that `form` describes; it is durable when this returns.

        Args:
            principal: who submits.
            form: its attachments go into the blob store as they come.
            key: the header `Idempotency-Key`, beyond the standard: a repeated request finds the first run.

        Raises:
            Forbidden: `principal` may not submit runs.
            Invalid, BodyTooLarge, BodyTooSlow, ClientGone: it cannot be queued; nothing of it is kept.
            IdempotencyKeyReused, Conflict, LogFull, TooLarge, Unavailable: as `Submissions.submit`.

        """
        require_role(principal, NEEDED_TO_SUBMIT, "submit a run")
        async with self._submissions.begin_upload(principal, key=key) as upload:
            fields = await _read(form, upload)
            offered = await self._offered(fields)
            read = partial(read_run_request, fields, upload.paths, offered=offered, roots=self._roots)
            is_small = sum(map(len, fields.values())) <= ASIDE_BYTES
            wanted = read() if is_small else await anyio.to_thread.run_sync(read)
            submission = wanted.submission
            if submission.source is None:
                await self._check_name(submission.pipeline_name)
            if wanted.archive is not None:
                main = None if submission.source is None else submission.source.entrypoint
                place = f"{ATTACHMENT}/{wanted.archive[:200]}"
                async with aclosing(upload.take_out(wanted.archive)) as packed:
                    await self._staging.unpack(packed, upload, main=main, place=place)
            try:
                submitted = await self._submissions.submit(
                    principal,
                    submission,
                    header_key=key,
                    upload=upload if upload.paths or needs_staging(submission.source) else None,
                    workflow=wanted.request,
                )
            except (Invalid, InvalidSource) as error:
                raise Invalid(
                    replace(violation, pointer=part_of(violation.pointer)) for violation in error.violations
                ) from None
            return submitted.job

    async def _check_name(self, name: str) -> None:
        if await self._catalogue.find(name) is None:
            hint = similar(name, self._catalogue.names)
            detail = f"nothing is attached, and the catalogue has no workflow `{name}`{hint}"
            raise Invalid([Violation(pointer="workflow_url", detail=detail)])

    async def _offered(self, fields: Mapping[str, str]) -> Offered | None:
        """Return the engines that runners offer, refreshed once when a requested one is missing."""
        found = installed_engines().language_named(fields.get("workflow_type", ""))
        if found is not None:
            await self._engine_directory.offered_to(found[0].name)
        return self._engine_directory.versions


async def _read(form: MultipartForm | UrlencodedForm, upload: Upload) -> dict[str, str]:
    """Store the attachments as they come, and return the other parts that mean something here."""
    fields: dict[str, str] = {}
    while (part := await form.next_part()) is not None:
        if part.name in ATTACHMENTS:
            if part.filename is None:
                detail = (
                    'an attachment needs a `filename` in its header "Content-Disposition"; only a form of the type '
                    "multipart/form-data can have one"
                )
                raise Invalid([Violation(pointer=ATTACHMENT, detail=detail)])
            await upload.put(part.filename, part, place=ATTACHMENT)
        elif part.name in FIELDS:
            if part.name in fields:
                raise Invalid([Violation(pointer=part.name, detail="this part may occur only once")])
            content = await part.read()
            fields[part.name] = (
                await anyio.to_thread.run_sync(read_text, part.name, content)
                if len(content) > ASIDE_BYTES
                else read_text(part.name, content)
            )
    return fields


class RunLists:
    """Lists runs: every page shows them as they were at the moment of the first one."""

    def __init__(self, lists: JobLists) -> None:
        self._lists = lists

    async def counts(self, principal: Principal) -> dict[DetailedStatus, int]:
        """Return the number of runs that `principal` may see, by detailed status.

        Raises:
            Unavailable: as `JobLists.counts`.

        """
        return await self._lists.counts(principal)

    async def page(self, principal: Principal, query: RunQuery) -> RunListResponse:
        """Return one page.

        Raises:
            Unavailable: as `JobLists.page_then`.

        """
        if query.is_empty:
            return RunListResponse(runs=[], next_page_token="", **({"total": 0} if query.with_total else {}))
        moment = query.place.moment if query.place else await self._lists.moment()
        page = await self._lists.page_then(principal, replace(query.jobs, up_to_seq=moment))
        total = query.place.total if query.place else page.total if query.with_total else -1
        token = "" if page.next_below is None else query.token(RunPlace(moment, page.next_below, total))
        return RunListResponse(
            runs=[summary_of(job) for job in page.jobs],
            next_page_token=token,
            **({"total": total} if query.with_total else {}),
        )
