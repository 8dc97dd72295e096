"""What is asked of the server itself: is it there, is it ready, which version, and its documentation."""

import hashlib
from importlib import resources
from typing import Final

from litestar import route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from penstock_gateway.http import problem_page
from penstock_gateway.http.handling import read_query
from penstock_gateway.http.problems import NotFound
from penstock_gateway.http.requests import AnyRequest
from penstock_gateway.http.responses import BytesResponse, encode, is_known, not_modified
from penstock_gateway.maintenance.readiness import Readiness as ReadinessMonitor
from penstock_gateway.operations.server import ECHO, READYZ, VERSION, VERSION_DETAILS
from penstock_gateway.routes.jobs import READ
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

_SWAGGER_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock API</title>
<link rel="icon" href="/docs/assets/swagger-ui/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui/swagger-ui.css">
<style>body { margin: 0 }</style>
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, validatorUrl: null,
  defaultModelsExpandDepth: 0, docExpansion: "list"
});
</script>
</body>
</html>
"""

_REDOC_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock API</title>
<link rel="icon" href="/docs/assets/swagger-ui/favicon-32x32.png">
<style>body { margin: 0 }</style>
</head>
<body>
<div id="redoc"></div>
<script src="/docs/assets/redoc/redoc.standalone.js"></script>
<script>
Redoc.init("/openapi.json", {
  hideDownloadButton: false, nativeScrollbars: true,
  theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" },
    code: { fontFamily: "ui-monospace, monospace" } } }
}, document.getElementById("redoc"));
</script>
</body>
</html>
"""


class SystemServices(Struct, frozen=True, kw_only=True):
    """What these handlers work with."""

    echo_message: str
    version: VersionDetails
    readiness: ReadinessMonitor
    openapi: bytes
    """The document, encoded."""


def system_routes(services: SystemServices) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    echo = encode(Echo(message=services.echo_message))
    version = encode(VersionResponse(version=services.version.version))
    version_details = encode(services.version)
    problems = problem_page.page().encode()

    @route("/", http_method=READ)
    async def root(request: AnyRequest) -> ASGIApp:
        read_query(request, ECHO).check()
        return BytesResponse(echo)

    @route(["/health", "/healthz"], http_method=READ)
    async def health(request: AnyRequest) -> ASGIApp:
        return BytesResponse(b'"OK"', headers={"cache-control": "no-store"})

    @route("/readyz", http_method=READ)
    async def readyz(request: AnyRequest) -> ASGIApp:
        read_query(request, READYZ).check()
        reasons = services.readiness.reasons()
        answer = Readiness(ready=not reasons, reasons=reasons, warnings=services.readiness.warnings())
        headers = {"cache-control": "no-store", **({"retry-after": "2"} if reasons else {})}
        return BytesResponse(encode(answer), status=503 if reasons else 200, headers=headers)

    @route("/version", http_method=READ)
    async def get_version(request: AnyRequest) -> ASGIApp:
        read_query(request, VERSION).check()
        return BytesResponse(version)

    @route("/version/details", http_method=READ)
    async def get_version_details(request: AnyRequest) -> ASGIApp:
        read_query(request, VERSION_DETAILS).check()
        return BytesResponse(version_details)

    @route("/openapi.json", http_method=READ)
    async def openapi(request: AnyRequest) -> ASGIApp:
        return _cached(request, services.openapi, "application/json")

    @route("/docs", http_method=READ)
    async def docs(request: AnyRequest) -> ASGIApp:
        return BytesResponse(_SWAGGER_PAGE.encode(), media_type=HTML, headers=PAGE_HEADERS)

    @route("/redoc", http_method=READ)
    async def redoc(request: AnyRequest) -> ASGIApp:
        return BytesResponse(_REDOC_PAGE.encode(), media_type=HTML, headers=PAGE_HEADERS)

    @route("/docs/problems", http_method=READ)
    async def problem_kinds(request: AnyRequest) -> ASGIApp:
        return BytesResponse(problems, media_type=HTML, headers=PAGE_HEADERS)

    @route("/docs/assets/{name:path}", http_method=READ, sync_to_thread=None)
    async def asset(request: AnyRequest, name: FromPath[str]) -> ASGIApp:
        media_type = ASSETS.get(name.removeprefix("/"))
        if media_type is None:
            raise NotFound(f"there is nothing at {request.scope['path']}")
        return _cached(request, _read_asset(name.removeprefix("/")), media_type)

    return [root, health, readyz, get_version, get_version_details, openapi, docs, redoc, problem_kinds, asset]


def _cached(request: AnyRequest, body: bytes, media_type: str) -> ASGIApp:
    """Return a body that changes with the software alone."""
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"etag": etag, "cache-control": "max-age=3600", "x-content-type-options": "nosniff"}
    if is_known(request.headers.get("if-none-match"), etag):
        return not_modified(headers)
    return BytesResponse(body, media_type=media_type, headers=headers)


def _read_asset(name: str) -> bytes:
    return resources.files("penstock_gateway").joinpath("assets", *name.split("/")).read_bytes()
