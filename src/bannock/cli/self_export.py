"""``scone self export``: its key and certificate as a file that browsers import."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.state import state_file
from bannock.files import write_atomically
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Write key and certificate of this command to a file that browsers import (PKCS #12), for the console of a CAS: who
looks at it with them is who this command is. The file is sealed with a passphrase that is made for it and printed; the
browser asks for it. Whoever has both is you, so remove the file when the browser has it."""
_EXAMPLES: Final = """\
  scone self export console.p12
      then import console.p12 in the browser, and open https://CAS:8081/console"""
_PASSPHRASE_BYTES: Final = 16


def main(arguments: Sequence[str]) -> int:
    """Parse, write, print the passphrase."""
    parser = SconeParser("self export", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="file that is written, readable by you alone")
    parsed = parser.parse(arguments)
    passphrase = secrets.token_hex(_PASSPHRASE_BYTES)
    sealed = state_file(os.environ).identity().to_pkcs12(Secret(passphrase.encode("ascii")))
    write_atomically(parsed.file, sealed)
    sys.stdout.write(f"{passphrase}\n")
    return 0
