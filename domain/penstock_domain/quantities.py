"""Numbers of things, as messages write them."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 file`, `2,000 files`.

    Args:
        count: how many there are.
        noun: what one of them is called.
        plural: what several of them are called, where that is not the noun with an "s".

    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
