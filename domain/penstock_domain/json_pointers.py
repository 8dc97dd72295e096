"""JSON pointers (RFC 6901), which name the place of a violation in a request."""


def pointer(*tokens: str | int) -> str:
    """Return the JSON pointer to a place in a body, as a URI fragment."""
    return "#" + "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
