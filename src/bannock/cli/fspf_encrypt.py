"""``scone fspf encrypt``: seal a protection file under a new key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.fspf_options import FspfParser
from bannock.shield.fspf import encrypt_fspf

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Encrypt a protection file under a random key, and print its tag (word 9) and the key (word 11). Both belong into the
session that may use the files (fspf_tag, fspf_key), and nowhere else: who has the key can read and change them."""
_EXAMPLES: Final = """\
  (umask 077; scone fspf encrypt fspf.pb > keytag)
  export SCONE_FSPF_TAG=$(awk '{print $9}' keytag) SCONE_FSPF_KEY=$(awk '{print $11}' keytag)"""


def main(arguments: Sequence[str]) -> int:
    """Parse, encrypt, print tag and key."""
    parser = FspfParser("encrypt", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="the protection file")
    parsed = parser.parse(arguments)
    tag, key = encrypt_fspf(Path(parsed.file))
    sys.stdout.write(
        f"Encrypted file system protection file {parsed.file} AES-GCM tag: {tag} key: {key.reveal_hex()}\n"
    )
    return 0
