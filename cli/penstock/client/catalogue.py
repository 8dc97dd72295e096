"""The catalogue of a server."""

from collections.abc import Iterator

from penstock.client.transport import Transport, segment
from penstock_schemas.api import (
    MAX_PAGE,
    PipelineEntry,
    PipelineList,
    PipelineRegistration,
    PipelineResponse,
    PipelineVersion,
)


class CatalogueClient:
    """The pipelines that a server offers by name; `Client.catalogue`."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def register(self, registration: PipelineRegistration) -> PipelineVersion:
        """Register a version of a pipeline; registering the same again changes nothing."""
        return self._http.post("/pipelines", registration, PipelineVersion)

    def entries(self, *, retired: bool = False) -> Iterator[PipelineEntry]:
        """Yield every pipeline of the catalogue, by name; with `retired`, also those that are offered no longer."""
        after: str | None = None
        while True:
            query = {"after": after, "limit": MAX_PAGE, "retired": "true" if retired else "false"}
            page = self._http.get("/pipelines", query, PipelineList)
            yield from page.pipelines
            after = page.next_after
            if after is None:
                return

    def entry(self, name: str) -> PipelineResponse:
        """Return a pipeline with all of its versions."""
        return self._http.get(f"/pipelines/{segment(name)}", {}, PipelineResponse)

    def entry_of(self, job_id: str) -> PipelineVersion:
        """Return the catalogue entry that a job runs, as it was when the job was submitted."""
        return self._http.get(f"/jobs/{segment(job_id)}/pipeline", {}, PipelineVersion)

    def retire(self, name: str, version: str) -> PipelineVersion:
        """Offer a version no longer."""
        url = f"{self._http.url}/pipelines/{segment(name)}/versions/{segment(version)}"
        return self._http.decode(self._http.repeat("DELETE", url, None, 0.0), PipelineVersion, url)
