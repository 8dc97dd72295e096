"""How a server is."""

from penstock.client.transport import Transport
from penstock_schemas.api import Readiness, RunnerList, StatusResponse, VersionDetails


class ServerState:
    """How a server is, and what is connected to it; `Client.server`."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def readiness(self) -> Readiness:
        """Return whether the server is ready, and why not. The request is sent once."""
        answer = self._http.send("GET", self._http.url + "/readyz", None, 0.0)
        if answer.status not in (200, 503):
            raise self._http.refusal(answer, self._http.url + "/readyz")
        return self._http.decode(answer, Readiness, self._http.url + "/readyz")

    def runners(self) -> RunnerList:
        """Return the runners that are connected."""
        return self._http.get("/runners", {}, RunnerList)

    def status(self) -> StatusResponse:
        """Return how full the log is, how far the list of jobs is, and which scheduler leads."""
        return self._http.get("/status", {}, StatusResponse)

    def version(self) -> VersionDetails:
        """Return the server's version. The request is sent once."""
        url = self._http.url + "/version/details"
        return self._http.decode(self._http.checked(self._http.send("GET", url, None, 0.0), url), VersionDetails, url)
