"""What workflow files declare is found while they pass, in chunks of any size."""

from collections.abc import AsyncIterator

from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import SubmittedSource
from penstock_schemas.jobs import DeclaredSoftware
from penstock_sources.staging.bundles import make_bundle
from penstock_sources.staging.declarations import MAX_FILES, Declarations
from penstock_sources.staging.uploads import Uploads
from penstock_testing.memory import MemoryBlobs

ENGINES = installed_engines()
SNAKEFILE = 'rule a:\n    output: "a"\n    conda: "env.yaml"\n    shell: "touch a"\n'
CONDA = DeclaredSoftware(directive="conda", path="Snakefile", line=3, rule="a")


async def chunks(text: str, size: int = 7) -> AsyncIterator[bytes]:
    content = text.encode()
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def test_an_upload_lists_what_its_files_declare() -> None:
    """Files that are no workflow files are not looked at."""
    async with Uploads(MemoryBlobs()).begin("x", engine="snakemake") as upload:
        await upload.put("rules/z.smk", chunks('    wrapper: "v1/bio/bwa"\n'))
        await upload.put("Snakefile", chunks(SNAKEFILE))
        await upload.put("data.txt", chunks(SNAKEFILE))
        source = await upload.seal(main=None)
    assert source.declared == (CONDA, DeclaredSoftware(directive="wrapper", path="rules/z.smk", line=1))


def test_files_within_a_submission_are_read_too() -> None:
    """The same list, however they come."""
    assert make_bundle(
        SubmittedSource(files={"Snakefile": SNAKEFILE}), engine="snakemake", engines=ENGINES
    ).source.declared == (CONDA,)


async def test_files_of_another_engine_are_not_read() -> None:
    """An engine that declares nothing has no list."""
    declarations = Declarations(item for item in ENGINES if item.name == "mock")
    declarations.read("Snakefile", SNAKEFILE.encode())
    assert declarations.listed == ()


def test_only_so_many_files_are_read() -> None:
    """A source may have very many."""
    declarations = Declarations(ENGINES)
    for number in range(MAX_FILES + 5):
        declarations.read(f"r{number:04}.smk", b"" if number < MAX_FILES else SNAKEFILE.encode())
    assert declarations.listed == ()
