"""`POST /jobs` as a form: the part `job` first, then a part `files` for each file, under its path as its file name."""

from penstock_gateway.bodies import decode
from penstock_gateway.forms import Form, FormLimits
from penstock_gateway.problems import Invalid
from penstock_gateway.requests import AnyRequest
from penstock_gateway.submissions import Submissions, Submitted
from penstock_schemas.access import Principal
from penstock_schemas.api import JobSubmission, Violation


async def submit_form(
    request: AnyRequest, principal: Principal, submissions: Submissions, limits: FormLimits
) -> Submitted:
    """Make a job of a form. What can be refused without the files is refused before they are read.

    Raises:
        UnsupportedMediaType, BodyTooLarge, BodyTooSlow, ClientGone: as `Form`.
        Forbidden, Invalid, IdempotencyKeyReused, Conflict, LogFull, TooLarge, Unavailable: as `Submissions.submit`.

    """
    form = Form(request, limits)
    first = await form.next_part()
    if first is None or first.name != "job":
        detail = "the first part of the form must be `job`: the JSON of the submission; the files follow it"
        raise Invalid([Violation(pointer="job", detail=detail)])
    submission = decode(await first.read(), JobSubmission)
    header_key = request.headers.get("idempotency-key")
    admitted = await submissions.admit(principal, submission, header_key=header_key, brings_files=True)
    async with submissions.begin_upload(principal, key=admitted.idempotency_key) as upload:
        while (part := await form.next_part()) is not None:
            if part.name != "files":
                detail = "a form has the parts `job` and `files` alone"
                raise Invalid([Violation(pointer=part.name[:80] or "#", detail=detail)])
            if part.filename is None:
                detail = "a part `files` needs a file name: the path of the file, relative to the workflow's folder"
                raise Invalid([Violation(pointer="files", detail=detail)])
            await upload.put(part.filename, part, place=f"files/{part.filename[:200]}")
        return await submissions.submit(principal, submission, header_key=header_key, upload=upload)
