"""``scone fspf addr``: add a region to a protection file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.fspf_options import KEY_HELP, FspfParser, add_key_file, add_sizes, key_for, region_path
from bannock.errors import InputError
from bannock.shield.fspf import Fspf
from bannock.shield.regions import CHUNK_BYTES, Protection, Region

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Add a region: a path, and how the files below it are protected and where they are. A file belongs to the region with
the longest path that it is below; the root, /, is a region too and should be there.

  --not-protected   files are read and written as they are
  --authenticated   a change by anybody else is found out: reading gives an error. What was not added is not there
  --encrypted       authenticated, and what is on the disk is ciphertext
  --kernel DIR      files are in this directory of the system that the application runs on
  --ephemeral       files are in memory, empty at the start and gone at the end

{KEY_HELP}"""
_EXAMPLES: Final = """\
  scone fspf addr fspf.pb / --not-protected --kernel /
  scone fspf addr fspf.pb /data -e --kernel /data
  scone fspf addr fspf.pb /tmp --encrypted --ephemeral
  scone fspf addr --key-file keytag fspf.pb /logs --authenticated --kernel /logs"""
_PROTECTIONS: Final = {"n": Protection.NOT_PROTECTED, "a": Protection.AUTHENTICATED, "e": Protection.ENCRYPTED}
_MEANING: Final = {
    Protection.NOT_PROTECTED: "its files are used as they are",
    Protection.AUTHENTICATED: "its files are authenticated, not encrypted",
    Protection.ENCRYPTED: "its files are encrypted (and authenticated)",
}


def main(arguments: Sequence[str]) -> int:
    """Parse, add, print the new tag."""
    parsed = _parse(arguments)
    path = Path(parsed.file)
    with Fspf.open(path, key_for(path, os.environ, key_file=parsed.key_file)) as fspf:
        fspf.add_region(_region(parsed))
        tag = fspf.commit()
    sys.stdout.write(
        f"Added region {parsed.embedpoint} to file system protection file {parsed.file} new AES-GCM tag: {tag}\n"
    )
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = FspfParser("addr", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="the protection file")
    parser.add_argument("embedpoint", metavar="EMBEDPOINT", help="path of the region, as the application sees it")
    protection = parser.add_mutually_exclusive_group(required=True)
    for letter, kind in _PROTECTIONS.items():
        protection.add_argument(
            f"-{letter}", f"--{kind}", dest="protection", action="store_const", const=kind, help=_MEANING[kind]
        )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--kernel", metavar="DIR", help="its files are in this directory")
    place.add_argument("--ephemeral", action="store_true", help="its files are in memory")
    add_sizes(parser)
    add_key_file(parser)
    return parser.parse(arguments)


def _region(parsed: argparse.Namespace) -> Region:
    protection: Protection = parsed.protection
    if protection is Protection.NOT_PROTECTED and (parsed.chunk_length or parsed.key_length):
        raise InputError("--chunk-length and --key-length are for protected regions, and this one is --not-protected")
    return Region(
        path=region_path(parsed.embedpoint),
        protection=protection,
        kernel=None if parsed.ephemeral else _kernel(parsed.kernel),
        chunk_bytes=CHUNK_BYTES if parsed.chunk_length is None else parsed.chunk_length,
        key_bytes=parsed.key_length or 32,
    )


def _kernel(text: str) -> str:
    """Return the directory as it is kept; that of a volume, ``.``, is wherever its protection file is."""
    return "" if text == "." else region_path(text)
