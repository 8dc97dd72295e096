"""The server itself: liveness, readiness, version, and its documentation."""

import hashlib
from importlib import resources
from typing import Final

from litestar.types import ASGIApp

from penstock_gateway.http import problem_page
from penstock_gateway.http.operations import Route
from penstock_gateway.http.problems import NotFound
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import NO_STORE, BytesResponse, encode, is_known, not_modified
from penstock_gateway.maintenance.readiness import Readiness as ReadinessMonitor
from penstock_gateway.operations.pages import ASSET, OPENAPI, PROBLEMS_PAGE, REDOC_PAGE, SWAGGER_PAGE
from penstock_gateway.operations.server import ECHO, HEALTH, HEALTHZ, READYZ, VERSION, VERSION_DETAILS
from penstock_schemas.api import Echo, Readiness, VersionDetails, VersionResponse

HTML: Final = "text/html; charset=utf-8"
ASSETS: Final = {
    "swagger-ui/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui/swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui/favicon-32x32.png": "image/png",
    "redoc/redoc.standalone.js": "text/javascript; charset=utf-8",
}
"""What the documentation pages load, all of it from this server."""
PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:; font-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


class SystemRoutes:
    """Handlers of the server itself.

    Args:
        echo_message: the response of `/`.
        version: of the deployment and of the software.
        readiness: knows whether the server can do its work.

    """

    def __init__(self, *, echo_message: str, version: VersionDetails, readiness: ReadinessMonitor) -> None:
        self._echo = encode(Echo(message=echo_message))
        self._version = encode(VersionResponse(version=version.version))
        self._version_details = encode(version)
        self._readiness = readiness
        self.routes: Final = (
            Route(ECHO, self.echo),
            Route(HEALTH, self.health),
            Route(HEALTHZ, self.health),
            Route(READYZ, self.readyz),
            Route(VERSION, self.get_version),
            Route(VERSION_DETAILS, self.get_version_details),
        )

    async def echo(self, request: Request) -> ASGIApp:
        """Return the configured message."""
        return BytesResponse(self._echo)

    async def health(self, request: Request) -> ASGIApp:
        """Confirm that the process is alive."""
        return BytesResponse(b'"OK"', headers=NO_STORE)

    async def readyz(self, request: Request) -> ASGIApp:
        """Return whether the server can do its work."""
        reasons = self._readiness.reasons()
        body = Readiness(ready=not reasons, reasons=reasons, warnings=self._readiness.warnings())
        headers = {**NO_STORE, **({"retry-after": "2"} if reasons else {})}
        return BytesResponse(encode(body), status=503 if reasons else 200, headers=headers)

    async def get_version(self, request: Request) -> ASGIApp:
        """Return the version of the deployment."""
        return BytesResponse(self._version)

    async def get_version_details(self, request: Request) -> ASGIApp:
        """Return the version of the deployment and of the software."""
        return BytesResponse(self._version_details)


class DocumentationRoutes:
    """Handlers of the documentation for programs and people.

    Args:
        openapi: the OpenAPI document, encoded.

    """

    def __init__(self, openapi: bytes) -> None:
        self._openapi = openapi
        self._problems = problem_page.page().encode()
        self.routes: Final = (
            Route(OPENAPI, self.openapi),
            Route(SWAGGER_PAGE, self.swagger),
            Route(REDOC_PAGE, self.redoc),
            Route(PROBLEMS_PAGE, self.problems),
            Route(ASSET, self.asset),
        )

    async def openapi(self, request: Request) -> ASGIApp:
        """Return the OpenAPI document."""
        return _cached(request, self._openapi, "application/json")

    async def swagger(self, request: Request) -> ASGIApp:
        """Return the page of Swagger UI."""
        return BytesResponse(_read_asset("swagger.html"), media_type=HTML, headers=PAGE_HEADERS)

    async def redoc(self, request: Request) -> ASGIApp:
        """Return the page of Redoc."""
        return BytesResponse(_read_asset("redoc.html"), media_type=HTML, headers=PAGE_HEADERS)

    async def problems(self, request: Request) -> ASGIApp:
        """Return the page of problem types."""
        return BytesResponse(self._problems, media_type=HTML, headers=PAGE_HEADERS)

    async def asset(self, request: Request, name: str) -> ASGIApp:
        """Return a file that the pages load."""
        media_type = ASSETS.get(name)
        if media_type is None:
            raise NotFound(f"{request.path} was not found; /docs lists what there is")
        return _cached(request, _read_asset(name), media_type)


def _cached(request: Request, body: bytes, media_type: str) -> ASGIApp:
    """Return a body that changes with the software alone."""
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"etag": etag, "cache-control": "max-age=3600", "x-content-type-options": "nosniff"}
    if is_known(request.header("if-none-match"), etag):
        return not_modified(headers)
    return BytesResponse(body, media_type=media_type, headers=headers)


def _read_asset(name: str) -> bytes:
    return resources.files("penstock_gateway").joinpath("assets", *name.split("/")).read_bytes()
