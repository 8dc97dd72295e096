"""The folders that Snakemake reserves, for tests of sources: they run with that engine unless they state another."""

from typing import Final

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_engines.snakemake.descriptor import DESCRIPTOR

SNAKEMAKE_FOLDERS: Final = ReservedFolders(DESCRIPTOR.reserved_folders)
