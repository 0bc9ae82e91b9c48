"""The command ``scone``: what users of SCONE type. Its words, options and outputs are those of the public CLI."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "entry", "main"]

#: Words → module, and what it does in one line.
VERBS: Final[dict[tuple[str, ...], tuple[str, str]]] = {
    ("fspf", "create"): ("bannock.cli.fspf_create", "make an empty file system protection file"),
    ("fspf", "addr"): ("bannock.cli.fspf_addr", "add a region: a path, and how what is below it is protected"),
    ("fspf", "addf"): ("bannock.cli.fspf_addf", "add the files of a directory to a region"),
    ("fspf", "encrypt"): ("bannock.cli.fspf_encrypt", "seal a protection file under a new key, and print key and tag"),
    ("fspf", "create-volume"): ("bannock.cli.fspf_create_volume", "make a volume, with the files of a directory"),
    ("fspf", "show"): ("bannock.cli.fspf_show", "show state, regions and files, or the tag alone"),
    ("fspf", "check"): ("bannock.cli.fspf_check", "read everything, name what is damaged, take out what is whole"),
    ("fspf", "import"): ("bannock.cli.fspf_import", "convert a protection file of SCONE's own format"),
}
_PURPOSE: Final = "Protect files: authenticated or encrypted, and bound to a state that is told by its tag."
_EXAMPLES: Final = """\
  scone fspf create fspf.pb
  scone fspf addr fspf.pb / --not-protected --kernel /
  scone fspf addr fspf.pb /app --encrypted --kernel /app
  scone fspf addf fspf.pb /app ./app ./image/app
  scone fspf encrypt fspf.pb > keytag
      an image whose directory /app is encrypted; tag and key are words 9 and 11 of keytag
  scone fspf create-volume --encrypted ./data ./volume
      an encrypted volume with the files of ./data"""


def entry() -> NoReturn:
    """Be the console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code (:meth:`Command.run`)."""
    return Command(name="scone", purpose=_PURPOSE, verbs=VERBS, examples=_EXAMPLES).run(arguments)


if __name__ == "__main__":
    entry()
