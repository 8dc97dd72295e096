"""Modules that are missing for a while."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_runtime.optional_modules import left_out


def test_a_module_is_missing_within_the_block_alone() -> None:
    before = importlib.import_module("json")
    with left_out("json", "absent_module"):
        for name in ("json", "absent_module"):
            with pytest.raises(ImportError):
                importlib.import_module(name)
    assert importlib.import_module("json") is before
    assert "absent_module" not in sys.modules


def test_a_module_can_be_imported_after_a_block_that_failed() -> None:
    with pytest.raises(ValueError, match="a fault"), left_out("json"):
        raise ValueError("a fault")
    assert importlib.import_module("json").dumps(1) == "1"


GATEWAY = """
import sys
from importlib.util import find_spec
from pathlib import Path
from penstock_runtime.optional_modules import left_out
with left_out("rich"):
    import structlog
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.gateway import build_gateway
from penstock_testing.memory import MemoryBlobs, MemoryCluster
folder = Path(sys.argv[1])
build_gateway(GatewaySettings(state_dir=folder, blobs=str(folder)), MemoryCluster(), MemoryBlobs()).close()
unused = {"pydantic", "attr", "attrs", "rich", "pygments", "snakemake"}
assert all(map(find_spec, unused)), "not installed, so this test proves nothing"
print(*sorted(unused & sys.modules.keys()))
"""


@pytest.mark.system
def test_a_gateway_holds_none_of_the_libraries_of_snakemake(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GATEWAY, str(tmp_path)]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
