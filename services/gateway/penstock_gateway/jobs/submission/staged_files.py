"""The files of a submission: those that came beside it, and those that its source names."""

from penstock_gateway.jobs.core.admission import Admitted, with_files
from penstock_sources.staging.bundles import check_uploaded
from penstock_sources.staging.source_kinds import needs_staging
from penstock_sources.staging.source_staging import SourceStaging
from penstock_sources.staging.submitted_entries import left_out_of
from penstock_sources.staging.uploads import Upload


async def staged(staging: SourceStaging, admitted: Admitted, upload: Upload) -> Admitted:
    """Return what was admitted with its files: those of the upload, and those that its source names.

    Raises:
        Invalid: they cannot be used.
        Unavailable: the blob store cannot store them.

    """
    requested = admitted.submission.source
    brought = brought_by(upload)
    main, origin = None if requested is None else requested.entrypoint, None
    if requested is not None and needs_staging(requested):
        found = await staging.stage(requested, upload, engine=admitted.engine)
        main, origin = found.main, found.origin
    check_uploaded(upload.tree, main, engine=admitted.context.engines.find(admitted.engine))
    left_out = () if requested is None else left_out_of(requested)
    source = await upload.seal(main=main, origin=origin, left_out=left_out)
    return with_files(admitted, source, brought=brought, staged=upload.fingerprint)


def brought_by(upload: Upload | None) -> str | None:
    """Return the fingerprint of the files that came beside a submission; `None` without any."""
    return upload.fingerprint if upload is not None and upload.paths else None
