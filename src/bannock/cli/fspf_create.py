"""``scone fspf create``: make an empty protection file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.fspf_options import FspfParser, add_version
from bannock.shield.fspf import Fspf

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Make an empty file system protection file. It gets regions (addr) and files (addf), and is encrypted last (encrypt).
Until then everybody can read and change it, so keep it on a machine that you trust. A file that exists is not written
over."""
_EXAMPLES: Final = """\
  scone fspf create fspf.pb"""


def main(arguments: Sequence[str]) -> int:
    """Parse, create, print the tag."""
    parser = FspfParser("create", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="where to make it")
    add_version(parser)
    parsed = parser.parse(arguments)
    tag = Fspf.create(Path(parsed.file))
    sys.stdout.write(f"Created empty file system protection file in {parsed.file}. AES-GCM tag: {tag}\n")
    return 0
