"""``scone fspf addf``: add the files of a directory to a region."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.fspf_options import KEY_HELP, FspfParser, add_key_file, key_for, observed, region_path
from bannock.cli.options import add_quiet
from bannock.shield.adding import plan_adding
from bannock.shield.fspf import Fspf

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Add the files of a directory to a region, with modes, owners, times and links. Files of the same names are replaced.

Those of an encrypted region are encrypted into OUTPUT_DIR, which has to be what the region's directory is where the
application runs. Those of an authenticated region stay as they are: what is recorded is how to tell that they are
unchanged, and nothing is written. Regions that are not protected or ephemeral have no files that could be added.

{KEY_HELP}"""
_EXAMPLES: Final = """\
  scone fspf addf fspf.pb /app ./app ./image/app
      encrypt ./app; put ./image/app at /app into the image
  scone fspf addf fspf.pb / ./rootvol
      record every file below ./rootvol for an authenticated root"""


def main(arguments: Sequence[str]) -> int:
    """Parse, add, print the new tag."""
    parser = FspfParser("addf", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="the protection file")
    parser.add_argument("embedpoint", metavar="EMBEDPOINT", help="path of the region")
    parser.add_argument("source", type=Path, metavar="SOURCE_DIR", help="the files to add")
    parser.add_argument(
        "output", type=Path, nargs="?", metavar="OUTPUT_DIR", help="where ciphertext goes; encrypted regions need it"
    )
    add_key_file(parser)
    add_quiet(parser)
    parsed = parser.parse(arguments)
    path = Path(parsed.file)
    with Fspf.open(path, key_for(path, os.environ, key_file=parsed.key_file)) as fspf:
        plan = plan_adding(fspf, path, region_path(parsed.embedpoint), parsed.source, parsed.output)
        with observed(f"add {parsed.source}", plan.content.bytes, quiet=parsed.quiet) as observer:
            tag = plan.apply(fspf, observer)
    sys.stdout.write(f"Added files to file system protection file {parsed.file} new AES-GCM tag: {tag}\n")
    return 0
