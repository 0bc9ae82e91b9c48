"""``bannock cas backup``: write all that a CAS has to one sealed file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cas.config import load_config
from bannock.cas.master_key import Passphrase
from bannock.cas.store import Store
from bannock.cli.options import Parser, conf_directory
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Write all that a CAS has, as it is at one moment, to one sealed file. The CAS may run meanwhile. The file is opened
with the master key of the CAS, of which you need a copy elsewhere, or with a passphrase if you name one."""
_EXAMPLES: Final = """\
  bannock cas backup /mnt/backups/cas-monday
  bannock cas backup --passphrase file:/run/secrets/backup-passphrase /mnt/backups/cas-monday"""


def main(arguments: Sequence[str]) -> int:
    """Parse, and write the file."""
    parser = Parser("cas backup", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="to be written; an older one is replaced")
    parser.add_argument("--config", type=Path, metavar="FILE", help="of the CAS, as for cas serve")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="files ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument(
        "--passphrase", metavar="SOURCE", help="open it with a passphrase instead: file:PATH, fd:NUMBER or env:NAME"
    )
    parsed = parser.parse_args(arguments)
    passphrase = None if parsed.passphrase is None else Passphrase(source=parsed.passphrase)
    conf = private_directory(conf_directory(parsed.conf, os.environ))
    config = load_config(parsed.config, home=private_directory(conf / "cas"))
    store = Store.open(config, audit_path=config.audit_path, create=False)
    try:
        store.journal.configure(config.audit_log)
        store.backup(parsed.file, passphrase=passphrase)
    finally:
        store.close()
    sys.stdout.write(f"{parsed.file} has all of CAS {store.identity.key_hash}.\n")
    return 0
