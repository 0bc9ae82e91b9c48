"""``bannock cas restore``: make the database of a CAS from a backup."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cas.config import load_config
from bannock.cas.master_key import Passphrase
from bannock.cas.restore import restore
from bannock.cli.options import Parser, conf_directory
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Make the database of a CAS from a backup, where there is none. A backup that is opened with a master key needs that key
in the file that the configuration names; for one that is opened with a passphrase, a master key is made. If this
machine has seen a newer state of the CAS, nothing is made."""
_EXAMPLES: Final = """\
  bannock cas restore /mnt/backups/cas-monday
  bannock cas restore --config other.toml --passphrase env:BACKUP_PASSPHRASE /mnt/backups/cas-monday"""


def main(arguments: Sequence[str]) -> int:
    """Parse, and make the database."""
    parser = Parser("cas restore", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="that cas backup has written")
    parser.add_argument("--config", type=Path, metavar="FILE", help="of the CAS that is to be, as for cas serve")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="files ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument("--passphrase", metavar="SOURCE", help="opens the file: file:PATH, fd:NUMBER or env:NAME")
    parser.add_argument(
        "--accept-rollback",
        action="store_true",
        help="restore also what is older than what was here; what came after it is lost",
    )
    parsed = parser.parse_args(arguments)
    passphrase = None if parsed.passphrase is None else Passphrase(source=parsed.passphrase)
    conf = private_directory(conf_directory(parsed.conf, os.environ))
    config = load_config(parsed.config, home=private_directory(conf / "cas"))
    facts = restore(parsed.file, replace(config, accept_rollback=parsed.accept_rollback), passphrase=passphrase)
    sys.stdout.write(f"CAS {facts['cas']} is as it was on {facts['made']}.\n")
    return 0
