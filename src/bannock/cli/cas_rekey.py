"""``bannock cas rekey``: put another master key in force, and seal it in another way if that is wished."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cas.config import load_config
from bannock.cas.master_key import Passphrase, Plain
from bannock.cas.store import Store
from bannock.cas.tpm import Tpm
from bannock.cli.options import Parser, conf_directory
from bannock.errors import InputError
from bannock.evidence.tpm.tools import DEVICE
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.cas.master_key import Protection

__all__ = ["main"]

_DESCRIPTION: Final = """\
Put another master key of a CAS in force, and write it to the file of the one before. The CAS may run meanwhile. With
--data the key that seals what is stored is replaced too, and all of it sealed anew. The identity of the CAS stays."""
_EXAMPLES: Final = """\
  bannock cas rekey --data
  bannock cas rekey --passphrase file:/run/secrets/cas-passphrase
      from now on the file is sealed under a passphrase; name it in the configuration, too
  bannock cas rekey --plain"""


def main(arguments: Sequence[str]) -> int:
    """Parse, and change the keys."""
    parser = Parser("cas rekey", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--config", type=Path, metavar="FILE", help="of the CAS, as for cas serve")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="files ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument("--data", action="store_true", help="seal all that is stored anew, too")
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--passphrase", metavar="SOURCE", help="seal the file under a passphrase: file:PATH, fd:NUMBER or env:NAME"
    )
    way.add_argument(
        "--tpm", nargs="?", const=DEVICE, metavar="TCTI", help=f"have the TPM of this machine seal the file ({DEVICE})"
    )
    way.add_argument("--plain", action="store_true", help="have the key in the file as it is")
    parser.add_argument("--pcrs", metavar="LIST", help="with --tpm: registers that have to stay, such as sha256:7")
    parsed = parser.parse_args(arguments)
    protection: Protection | None = Plain() if parsed.plain else None
    if parsed.passphrase is not None:
        protection = Passphrase(source=parsed.passphrase)
    if parsed.tpm is not None:
        protection = Tpm(tcti=parsed.tpm, pcrs=parsed.pcrs)
    elif parsed.pcrs is not None:
        raise InputError("--pcrs goes with --tpm")
    conf = private_directory(conf_directory(parsed.conf, os.environ))
    config = load_config(parsed.config, home=private_directory(conf / "cas"))
    store = Store.open(config, audit_path=config.audit_path, create=False)
    try:
        store.journal.configure(config.audit_log)
        store.rekey(protection=protection, data=parsed.data)
    finally:
        store.close()
    sys.stdout.write(f"The master key in {config.master_key} is a new one.\n")
    return 0
