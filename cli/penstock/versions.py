"""Which version of Penstock this is."""

from importlib import metadata


def software_version() -> str:
    """Return the installed distribution's version; `unknown` when it runs from somewhere else."""
    try:
        return metadata.version("penstock")
    except metadata.PackageNotFoundError:
        return "unknown"
