"""Environment files and pin files are hostile input."""

import pytest
from tests.conda.conftest import environment

from penstock_execution.conda.pins import PinnedPackage, parse_pins
from penstock_execution.conda.specification import Dependency, read_specification
from penstock_execution.provisioning import CondaEnvironment, ProvisionFailed

FULL = """
name: tools
prefix: /opt/envs/tools
channels: [conda-forge, bioconda, nodefaults]
dependencies:
  - samtools =1.20
  - bioconda::bwa>=0.7
  - python 3.11.*
  - pip
  - pip:
      - requests[socks] >=2.31
      - tomli==2.0.1; python_version < "3.11"
variables:
  THREADS: 4
"""


def written(text: str, pins: str | None = None) -> CondaEnvironment:
    return CondaEnvironment(label="envs/a.yaml", specification=text, pins=pins)


def test_a_file_is_read_as_conda_reads_it() -> None:
    found = read_specification(written(FULL))
    assert found.channels == ("conda-forge", "bioconda", "nodefaults")
    assert found.dependencies == (
        Dependency("samtools =1.20"),
        Dependency("bwa>=0.7", "bioconda"),
        Dependency("python 3.11.*"),
        Dependency("pip"),
    )
    assert found.pip == ("requests[socks] >=2.31", 'tomli==2.0.1; python_version < "3.11"')
    assert found.variables == {"THREADS": "4"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a list", "no table"),
        ("dependencies: [a", "not valid YAML"),
        ("dependencies: &a [x]\nother: *a", "anchors"),
        ("a: " + "[" * 100 + "]" * 100, "too large"),
        ("dependencies: [" + "a, " * 20_000 + "a]", "too large"),
        ("dependencies: [a]\nplatforms: [linux-64]", "the key 'platforms'"),
        ("channels: conda-forge\ndependencies: [a]", "channels must be a list"),
        ("channels: [x]\ndependencies: []", "no dependencies"),
        ("channels: [x]\ndependencies: [[a]]", "must be a text"),
        ("channels: [x]\ndependencies: [true]", "must be a text"),
        (f"channels: [x]\ndependencies: [0x{'f' * 9_000}]", "many digits"),
        ("channels: [x]\ndependencies: [{conda: [a]}]", "the key pip alone"),
        ("channels: [x]\ndependencies: ['https://host/c/linux-64/a-1-0.conda']", "addresses and files"),
        ("channels: [x]\ndependencies: ['/etc/passwd']", "addresses and files"),
        ("channels: [x]\ndependencies: ['a[url=https://host/a-1-0.conda]']", "addresses and files"),
        ("channels: [x]\ndependencies: ['a[channel=evil]']", "addresses and files"),
        ("channels: [x]\ndependencies: ['c::https://host/a-1-0.conda']", "addresses and files"),
        ("channels: [x]\ndependencies: ['./a-1-0.tar.bz2']", "addresses and files"),
        ('channels: [x]\ndependencies: ["a\\nb"]', "printable"),
        ("channels: [x]\ndependencies: [{pip: ['-r /etc/passwd']}]", "options, addresses"),
        ("channels: [x]\ndependencies: [{pip: ['git+https://host/r']}]", "options, addresses"),
        ("channels: [x]\ndependencies: [{pip: ['a @ file:///etc/a.whl']}]", "options, addresses"),
        ("channels: [x]\ndependencies: [{pip: ['../wheel']}]", "options, addresses"),
        ("channels: [x]\ndependencies: [a]\nvariables: {'A B': x}", "variables"),
        ("channels: [x]\ndependencies: [a]\nvariables: [x]", "variables"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_what_is_no_environment_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ProvisionFailed, match="the environment file cannot be used") as refused:
        read_specification(written(text))
    assert reason in refused.value.message


PINS = """# This file may be used to create an environment
# platform: linux-64
@EXPLICIT
https://conda.anaconda.org/conda-forge/linux-64/samtools-1.20-h50ea8bc_0.tar.bz2#0123456789abcdef0123456789abcdef
https://conda.anaconda.org/conda-forge/noarch/tzdata-2024a-h0c530f3_0.conda#sha256:{sha}
""".format(sha="ab" * 32)


def test_a_pin_file_names_exact_packages() -> None:
    channel = "https://conda.anaconda.org/conda-forge"
    first, second = parse_pins(PINS)
    assert first == PinnedPackage(
        channel=channel,
        subdir="linux-64",
        file="samtools-1.20-h50ea8bc_0.tar.bz2",
        md5="0123456789abcdef0123456789abcdef",
    )
    assert (first.name, first.version, first.build) == ("samtools", "1.20", "h50ea8bc_0")
    assert second.sha256 == "ab" * 32
    assert read_specification(written("{}", PINS)).pins == (first, second)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("samtools=1.20", "no address"),
        ("ftp://host/c/linux-64/a-1-0.conda", "no address"),
        ("https://host/c/linux-64/a-1.conda", "name-version-build"),
        ("https://host/c/linux-64/a-1-0.zip", "name-version-build"),
        ("https://host/c/linux-64/..", "a part `..`"),
        ("https://host/../linux-64/a-1-0.conda", "a part `..`"),
        ("https://ada:secret@host/c/linux-64/a-1-0.conda", "a password"),
        ("https://host/c/linux-64/a-1-0.conda?x=1", "a query"),
        ("https://host/c/linux-64/a-1-0.conda#123", "an MD5 or SHA-256"),
        ("https://host/c/linux-64/a-1-0.conda\nhttps://host/c/linux-64/a-2-0.conda", "listed twice"),
    ],
)
def test_a_wrong_pin_is_refused_with_its_line(line: str, reason: str) -> None:
    with pytest.raises(ProvisionFailed, match=r"line \d of the pin file") as refused:
        parse_pins(f"@EXPLICIT\n{line}\n")
    assert reason in refused.value.message


def test_a_pin_file_without_packages_is_refused() -> None:
    with pytest.raises(ProvisionFailed, match="lists no packages"):
        parse_pins("@EXPLICIT\n")


def test_the_helper_of_these_tests_writes_an_environment() -> None:
    assert read_specification(environment("a", "b=1")).dependencies == (Dependency("a"), Dependency("b=1"))
