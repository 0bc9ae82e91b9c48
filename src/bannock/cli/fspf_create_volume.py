"""``scone fspf create-volume``: make a volume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.fspf_options import FspfParser, add_sizes, add_version, observed
from bannock.cli.options import add_quiet
from bannock.shield.adding import plan_volume
from bannock.shield.regions import CHUNK_BYTES, Protection

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Make a volume: a directory with the protection file `volume.fspf`, which sessions share through CAS. The files that are
in VOLUME_PATH are its first content; a VOLUME_PATH that does not exist becomes an empty volume.

Files of an encrypted volume are encrypted into OUTPUT_PATH, which becomes the volume; VOLUME_PATH is only read. An
authenticated volume can stay in VOLUME_PATH: then nothing but `volume.fspf` is written."""
_EXAMPLES: Final = """\
  scone fspf create-volume --encrypted ./data ./volume
  scone fspf create-volume --authenticated ./data
  eval "$(scone fspf create-volume -e ./data ./volume --envar-output)"
      VOLUME_KEY and VOLUME_TAG are set, and are in no file"""


def main(arguments: Sequence[str]) -> int:
    """Parse, create, print key and tag."""
    parser = FspfParser("create-volume", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("volume", type=Path, metavar="VOLUME_PATH", help="the content, or a directory to be made")
    parser.add_argument("output", type=Path, nargs="?", metavar="OUTPUT_PATH", help="where the volume is made")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "-a", "--authenticated", dest="protection", action="store_const", const=Protection.AUTHENTICATED,
        help="files can be read by everybody, and not be changed",
    )  # fmt: skip
    kind.add_argument(
        "-e", "--encrypted", dest="protection", action="store_const", const=Protection.ENCRYPTED,
        help="files can neither be read nor be changed",
    )  # fmt: skip
    add_sizes(parser)
    parser.add_argument("--envar-output", action="store_true", help="print commands for a shell that set key and tag")
    parser.add_argument(
        "-f", "--force", action="store_true", help="remove a volume that is where the new one goes; never the content"
    )
    add_version(parser, "-v", "--version")
    add_quiet(parser)
    parsed = parser.parse(arguments)
    plan = plan_volume(
        parsed.volume,
        parsed.output,
        protection=parsed.protection,
        chunk_bytes=CHUNK_BYTES if parsed.chunk_length is None else parsed.chunk_length,
        key_bytes=parsed.key_length or 32,
        force=parsed.force,
    )
    with observed(f"create {plan.directory}", plan.size, quiet=parsed.quiet) as observer:
        tag, key = plan.apply(observer)
    if parsed.envar_output:
        sys.stdout.write(f"export VOLUME_KEY={key.reveal_hex()}\nexport VOLUME_TAG={tag}\n")
    else:
        sys.stdout.write(
            f"Created file system protection file {plan.protection_file} AES-GCM tag: {tag} key: {key.reveal_hex()}\n"
        )
    return 0
