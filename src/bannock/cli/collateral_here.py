"""Where the command ``scone`` keeps collateral for itself, and what is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from bannock.cli.state import state_file
from bannock.evidence.collateral.store import CollateralStore

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from bannock.evidence.endorsements import Endorsements

__all__ = ["add_collateral", "collateral_directory", "collateral_here"]

_NAME: Final = "collateral"


def add_collateral(parser: argparse.ArgumentParser) -> None:
    """Add ``--collateral``."""
    parser.add_argument(
        "--collateral",
        metavar="DIR",
        help="what vendors vouch for, beside what comes with the evidence (~/.cas/collateral; docs/collateral.md)",
    )


def collateral_directory(named: Path | None) -> Path:
    """Give the directory: the one that is named, or one beside the configuration of this command."""
    return named or state_file(os.environ).path.parent / _NAME


def collateral_here(named: Path | None) -> Endorsements:
    """Give all that is in it; nothing if it is not there."""
    return CollateralStore(collateral_directory(named)).held().everything()
