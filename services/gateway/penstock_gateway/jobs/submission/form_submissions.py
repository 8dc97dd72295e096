"""`POST /jobs` as a form: the part `job` first, then the workflow's files, or an archive of them.

Each part `files` has its path as its file name; a part `archive` is unpacked. A part `manifest` before the files has
what file names cannot: times, modes, links, folders, and names that are no UTF-8.
"""

from penstock_domain.source_tree import path_text
from penstock_gateway.http.bodies.json_violations import MAX_VIOLATIONS
from penstock_gateway.http.bodies.multipart import FormLimits, MultipartForm
from penstock_gateway.http.problems import Invalid
from penstock_gateway.http.requests import IDEMPOTENCY_KEY, Request
from penstock_gateway.jobs.core.admission import context_of
from penstock_gateway.jobs.core.submitted import Submitted
from penstock_gateway.jobs.submission.form_files import FormFiles
from penstock_gateway.jobs.submission.planning import Planning
from penstock_gateway.jobs.submission.submissions import Submissions, decode_submission
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.access import Principal
from penstock_schemas.api import JobSubmission, Violation
from penstock_schemas.plans import Plan
from penstock_sources.staging.source_staging import SourceStaging
from penstock_sources.staging.uploads import Upload

_PARTS = "a form has the part `job`, then a part `manifest` or none, then parts `files`, or a part `archive`, or both"


class FormSubmissions:
    """Takes submissions that come as forms.

    Args:
        submissions: makes jobs of them.
        planning: makes plans of them.
        staging: unpacks archives.
        limits: what a form may have.

    """

    def __init__(
        self, submissions: Submissions, planning: Planning, staging: SourceStaging, limits: FormLimits
    ) -> None:
        self._engines = installed_engines()
        self._submissions = submissions
        self._planning = planning
        self._staging = staging
        self._limits = limits

    async def submit(self, request: Request, principal: Principal) -> Submitted:
        """Make a job of a form. What can be refused without the files is refused before they are read.

        Raises:
            UnsupportedMediaType, BodyTooLarge, BodyTooSlow, ClientGone: as `MultipartForm`.
            Forbidden, Invalid, IdempotencyKeyReused, Conflict, LogFull, TooLarge, Unavailable: as `Submissions.submit`.

        """
        form = MultipartForm(request, self._limits)
        submission = await _submission(form, is_lenient=request.is_lenient)
        header_key = request.header(IDEMPOTENCY_KEY)
        context = context_of(principal, submission, engines=self._engines, header_key=header_key, brings_files=True)
        admitted = await self._submissions.admit(context)
        async with self._submissions.begin_upload(principal, key=context.key, engine=admitted.engine) as upload:
            await self._read(form, submission, upload, is_lenient=request.is_lenient)
            return await self._submissions.submit_admitted(admitted, upload)

    async def plan(self, request: Request, principal: Principal) -> Plan:
        """Return what a form would run; nothing of it is kept.

        Raises:
            UnsupportedMediaType, BodyTooLarge, BodyTooSlow, ClientGone: as `MultipartForm`.
            Forbidden, Invalid, TooLarge, Unavailable: as `Planning.plan`.

        """
        form = MultipartForm(request, self._limits)
        submission = await _submission(form, is_lenient=request.is_lenient)
        header_key = request.header(IDEMPOTENCY_KEY)
        context = context_of(principal, submission, engines=self._engines, header_key=header_key, brings_files=True)
        admitted = await self._submissions.admit(context)
        async with self._planning.begin_upload(admitted.engine) as upload:
            await self._read(form, submission, upload, is_lenient=request.is_lenient)
            return await self._planning.plan_admitted(admitted, upload)

    async def _read(self, form: MultipartForm, submission: JobSubmission, upload: Upload, *, is_lenient: bool) -> None:
        """Store the files of a form. Once a part is unknown, the rest is only searched for further unknown ones."""
        main = None if submission.source is None else submission.source.entrypoint
        has_archive = False
        unknown: dict[str, Violation] = {}
        files = FormFiles(upload)
        while (part := await form.next_part()) is not None:
            if part.name not in ("archive", "manifest", "files"):
                if not is_lenient and len(unknown) < MAX_VIOLATIONS:
                    unknown[part.name] = Violation(pointer=path_text(part.name)[:80] or "#", detail=_PARTS)
            elif unknown:
                continue
            elif part.name == "archive":
                if has_archive:
                    raise Invalid([Violation(pointer="archive", detail="this part may occur only once")])
                has_archive = True
                await self._staging.unpack(part, upload, main=main, place="archive")
            elif part.name == "manifest":
                await files.take_manifest(part)
            else:
                await files.take_file(part)
        if unknown:
            raise Invalid(unknown.values())
        files.check_complete()


async def _submission(form: MultipartForm, *, is_lenient: bool) -> JobSubmission:
    first = await form.next_part()
    if first is None or first.name != "job":
        detail = "the first part of the form must be `job`: the JSON of the submission; the files follow it"
        raise Invalid([Violation(pointer="job", detail=detail)])
    return await decode_submission(await first.read(), is_lenient=is_lenient)
