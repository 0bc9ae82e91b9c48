"""Forms of options, keys and outputs that the verbs of ``scone fspf`` share."""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, pairs
from bannock.errors import InputError
from bannock.files import read_private
from bannock.shield.listing import is_encrypted
from bannock.shield.regions import CHUNK_BYTES, KEY_SIZES
from bannock.values import FspfKey, FspfTag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "KEY_HELP",
    "FspfParser",
    "add_key_file",
    "add_sizes",
    "add_version",
    "directories",
    "hex_tag",
    "key_for",
    "observed",
    "region_path",
    "shown",
]

_VARIABLE: Final = "SCONE_FSPF_KEY"
#: How long a key file can be at most: a sentence of ours with a long path in it.
_SENTENCE: Final = re.compile(r"(?:\bkey: |\bVOLUME_KEY=)([0-9a-fA-F]{64})\b")
_VERSIONS: Final = ("1", "latest")

KEY_HELP: Final = """\
Whoever may list processes sees arguments, and shells keep them in their history. So the key of an encrypted protection
file can also come from the environment (SCONE_FSPF_KEY) or from a file (--key-file FILE, - for standard input), which
may hold the key alone or the line that `scone fspf encrypt` printed."""


class FspfParser(Parser):
    """The parser of one verb; options and positional arguments may come in any order."""

    def __init__(self, verb: str, description: str, examples: str) -> None:
        super().__init__(f"fspf {verb}", description, examples, command="scone")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; an optional argument may stand behind an option, too (which ``parse_args`` does not take)."""
        return self.parse_intermixed_args(arguments)


def add_key_file(parser: argparse.ArgumentParser) -> None:
    """Add ``--key-file``."""
    parser.add_argument("--key-file", metavar="FILE", help="read the key from a file (mode 0600), - is standard input")


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Add the lengths of chunks and keys; both are None where they are not given."""
    parser.add_argument(
        "-c",
        "--chunk-length",
        type=int,
        metavar="BYTES",
        help=f"bytes that are sealed at once (default {CHUNK_BYTES})",
    )
    parser.add_argument(
        "-k",
        "--key-length",
        type=_key_bytes,
        metavar="LENGTH",
        help="length of the files' keys: 16, 24 or 32 bytes, or 128, 192 or 256 bits (default 32)",
    )


def add_version(parser: argparse.ArgumentParser, *options: str) -> None:
    """Add the version of the format, of which there is one; without names of an option as an argument."""
    names, nargs = (options, None) if options else (("version",), "?")
    parser.add_argument(
        *names, nargs=nargs, choices=_VERSIONS, default="latest", metavar="VERSION", help="version of the format: 1"
    )


def _key_bytes(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    size = number if number in KEY_SIZES else number // 8
    if size not in KEY_SIZES or number not in (size, 8 * size):
        raise argparse.ArgumentTypeError(f"16, 24 or 32 bytes, or 128, 192 or 256 bits; found {text!r}")
    return size


def region_path(text: str) -> str:
    """Return the path of a region as it is kept: without doubled slashes or one at the end; ``.`` is a volume's."""
    if text == ".":
        return "/"
    plain = re.sub(r"/+", "/", text)
    return plain if plain == "/" else plain.rstrip("/")


def directories(option: str, texts: Sequence[str], *, new: bool = False) -> dict[str, Path]:
    """Parse ``REGION=DIR`` texts; with ``new``, a directory need not be there yet.

    Raises:
        InputError: a text has another form, or its directory is none.
    """
    found = {region_path(path): Path(text) for path, text in pairs(option, texts).items()}
    for path, directory in found.items():
        if not (directory.is_dir() or (new and not directory.exists())):
            raise InputError(f"{option} {path}={directory}: {directory} is not a directory")
    return found


def hex_tag(text: str | None) -> FspfTag | None:
    """Parse a tag if there is one."""
    return None if text is None else FspfTag.from_hex(text)


def key_for(
    path: Path, environment: Mapping[str, str], *, argument: str | None = None, key_file: str | None = None
) -> FspfKey | None:
    """Return the key of a protection file from where the user gives it; None if there is none.

    A key in the environment is one for many commands, so it is not used for a file that is not encrypted.

    Raises:
        InputError: it is given twice, or is no key.
    """
    if argument is not None and key_file is not None:
        raise InputError("the key is given twice: as an argument and by --key-file")
    if argument is not None:
        return FspfKey.from_hex(argument)
    if key_file is not None:
        text = sys.stdin.read() if key_file == "-" else read_private(Path(key_file)).decode("utf-8", "replace")
        return _parse_key(text, "standard input" if key_file == "-" else key_file)
    if environment.get(_VARIABLE) and is_encrypted(path):
        return _parse_key(environment[_VARIABLE], _VARIABLE)
    return None


def _parse_key(text: str, where: str) -> FspfKey:
    found = _SENTENCE.search(text)
    try:
        return FspfKey.from_hex(found[1] if found else text.strip())
    except InputError as error:
        raise InputError(f"there is no key in {where}") from error


@contextmanager
def observed(title: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show how far long work is, on standard error and only on a terminal; yields what to tell of bytes done."""
    if quiet or not sys.stderr.isatty():
        yield _ignore
        return
    # What draws bars takes longer to import than most commands take to run.
    from bannock.cli.progress import show_progress  # noqa: PLC0415

    with show_progress(sys.stderr) as progress, progress.stage(title, total) as stage:
        yield stage.advance


def _ignore(_: int) -> None:
    pass


def shown(text: str) -> str:
    """Return a name as it can be shown: whoever chose it must not move the cursor or end the line."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("utf-8", "surrogateescape").hex(" ").join(("<", ">"))
        for character in text
    )
