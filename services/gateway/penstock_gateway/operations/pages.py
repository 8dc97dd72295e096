"""Documentation pages and the files that they load; the OpenAPI document leaves them out."""

from typing import Final

from penstock_gateway.http.operations import Operation, Parameter, ResponseSpec
from penstock_gateway.operations.parts import TEXT

_FILE: Final = Parameter("path", "path", "The file's path.", TEXT)


def _page(path: str, name: str, summary: str, *, parameters: tuple[Parameter, ...] = ()) -> Operation:
    return Operation(
        method="get",
        path=path,
        name=name,
        summary=summary,
        tag="Server",
        parameters=parameters,
        checks_query=False,
        answers=(ResponseSpec(200, summary, media_type="*/*"),),
    )


OPENAPI: Final = _page("/openapi.json", "openapi", "The OpenAPI document")
SWAGGER_PAGE: Final = _page("/docs", "swagger", "The API in Swagger UI")
REDOC_PAGE: Final = _page("/redoc", "redoc", "The API in Redoc")
PROBLEMS_PAGE: Final = _page("/docs/problems", "problems", "The types of problems")
ASSET: Final = _page("/docs/assets/{path}", "asset", "A file that the pages load", parameters=(_FILE,))
