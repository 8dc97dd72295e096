"""The page that the `type` of every problem leads to: what went wrong, and what to do about it."""

from html import escape
from typing import Final

from penstock_gateway.http.problems import MEDIA_TYPE, Kind, causes_of, kinds

_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock: problems</title>
<link rel="icon" href="/docs/assets/swagger-ui/favicon-32x32.png">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin: 2rem 0 0; font-size: 1.1rem } h2 code { color: #555; font-weight: normal }
p { margin: .3rem 0 } section:target { background: #fff6d6; outline: .5rem solid #fff6d6 }
</style>
</head>
<body>
<h1>Problems</h1>
"""
_TAIL: Final = "</body>\n</html>\n"


def page() -> str:
    """Return the page: each kind of problem in a section that has its slug as id."""
    introduction = (
        f"<p>An error is answered as <code>{MEDIA_TYPE}</code> (RFC 9457). Its <code>type</code> leads here, its "
        "<code>detail</code> describes what is wrong with this request. "
        '<a href="/docs">The API</a> lists the problems of each operation.</p>\n'
    )
    return _HEAD + introduction + "".join(_section(kind) for kind in kinds()) + _TAIL


def _section(kind: Kind) -> str:
    lines = [f'<section id="{kind.slug}">', f"<h2>{escape(kind.title)} <code>{kind.status} {kind.slug}</code></h2>"]
    lines += [f"<p>{escape(cause)}</p>" for cause in causes_of(kind)]
    if kind.advice:
        lines.append(f"<p>{escape(kind.advice)}</p>")
    if kind.retry_after_s is not None:
        lines.append(f"<p><code>Retry-After</code>: {kind.retry_after_s} seconds.</p>")
    return "\n".join(lines) + "\n</section>\n"
