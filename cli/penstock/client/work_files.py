"""The work directories of jobs, on the runners that have them."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

from urllib3.exceptions import HTTPError

from penstock.client.downloads import Damaged
from penstock.client.transport import Transport, segment
from penstock_schemas.api import WorkFileEntry, WorkFileList

_PIECE: Final = 1024 * 1024


class WorkFileClient:
    """Lists and downloads files of work directories; `Client.work_files`."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def listing(self, job_id: str, path: str = ".") -> WorkFileList:
        """Return what is in a folder of a job's work directory; a file is listed alone.

        Raises:
            Refused, Unreachable: there is no such folder, it is not kept, or its runner does not answer.

        """
        return self._http.get(f"/jobs/{segment(job_id)}/files", {"path": path}, WorkFileList)

    def download(self, job_id: str, entry: WorkFileEntry, to: Path) -> None:
        """Store a file of a job's work directory at `to`. It appears only when it is whole.

        Raises:
            Refused, Unreachable: as `listing`.
            Damaged: it was cut off.

        """
        part = to.with_name(to.name + ".part")
        address = f"{self._http.url}/jobs/{segment(job_id)}/files/{quote(entry.path)}"
        try:
            with self._http.open(address) as response, part.open("wb") as out:
                for piece in response.stream(_PIECE):
                    out.write(piece)
        except HTTPError as error:
            part.unlink()
            raise Damaged(f"{entry.path} was cut off before its end ({error}); try again") from error
        part.replace(to)
