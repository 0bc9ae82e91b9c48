"""``scone fspf import``: convert a protection file of SCONE's own format."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.fspf_options import (
    KEY_HELP,
    FspfParser,
    add_key_file,
    directories,
    hex_tag,
    key_for,
    observed,
)
from bannock.cli.options import add_quiet
from bannock.shield.conversion import plan_import
from bannock.shield.listing import protection_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Convert a protection file that SCONE's tools or runtime made (format version 1). Regions stay what they are.
Authenticated files are verified by the old records and get new ones; encrypted files are decrypted by the old records
and encrypted anew. If anything does not verify, that is named, and nothing is imported. If the old file was encrypted,
the new one is, under a new key; as of `scone fspf encrypt`, its tag is word 9 of what is printed, and the key word 11.

A volume becomes a volume: OLD is its volume.fspf or its directory, NEW is the directory of the new one.

The old format records no modes and no times: they are taken from the files on the disk, without set-uid bits.

{KEY_HELP}"""
_EXAMPLES: Final = """\
  scone fspf import old.pb fspf.pb --key-file old-keytag --region /usr/lib=./rootvol/usr/lib
  scone fspf import old.pb fspf.pb --key-file old-keytag --region /app=./old/app --output /app=./new/app
  scone fspf import ./old-volume ./new-volume --key-file old-key --tag 61b958b220b19b8b74a76f74fc94282e"""


def main(arguments: Sequence[str]) -> int:
    """Parse, verify, convert, print tag and key."""
    parser = FspfParser("import", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("old", type=Path, metavar="OLD", help="the protection file to read, or directory of a volume")
    parser.add_argument("new", type=Path, metavar="NEW", help="the one to make; of a volume, the directory")
    parser.add_argument("key", nargs="?", metavar="KEY", help="the key of OLD; better from a file or the environment")
    parser.add_argument("--tag", metavar="TAG", help="the state that OLD has to be in")
    parser.add_argument(
        "--region", action="append", default=[], metavar="PATH=DIR", help="where a region's files are on this machine"
    )
    parser.add_argument(
        "--output", action="append", default=[], metavar="PATH=DIR", help="where an encrypted region's new files go"
    )
    add_key_file(parser)
    add_quiet(parser)
    parsed = parser.parse(arguments)
    old = protection_file(parsed.old)
    with observed("verify", quiet=parsed.quiet) as observer:
        plan = plan_import(
            old,
            parsed.new,
            key_for(old, os.environ, argument=parsed.key, key_file=parsed.key_file),
            hex_tag(parsed.tag),
            sources=directories("--region", parsed.region),
            outputs=directories("--output", parsed.output, new=True),
            observer=observer,
        )
    with observed("import", plan.size, quiet=parsed.quiet) as observer:
        made = plan.apply(observer)
    if made.key is None:
        sys.stdout.write(f"Imported file system protection file {made.file} AES-GCM tag: {made.tag}\n")
    else:
        sys.stdout.write(
            f"Imported file system protection file {made.file} AES-GCM tag: {made.tag} key: {made.key.reveal_hex()}\n"
        )
    return 0
