"""``scone fspf show``: what a protection file holds."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.fspf_options import KEY_HELP, FspfParser, add_key_file, key_for, shown
from bannock.shield.listing import list_fspf, protection_file, state_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.shield.listing import Listed, ListedRegion, Listing

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Show a protection file, or that of a volume: its state, its regions, and a line for each of its files: mode, size,
protection, path as the application sees it, and the file on the disk that holds its text. Files of SCONE's own format
are shown too. Without the key of an encrypted file there is its state alone, which nothing vouches for then.

{KEY_HELP}"""
_EXAMPLES: Final = """\
  scone fspf show fspf.pb --key-file keytag
  export SCONE_FSPF_TAG=$(scone fspf show --tag fspf.pb)
  scone fspf show ./volume --json | jq -r '.regions[].files[].path'"""
_HIDDEN: Final = "regions and files are encrypted: with the key they would be shown here"
_BESIDE: Final = "beside the protection file"


def main(arguments: Sequence[str]) -> int:
    """Parse, look, print."""
    parser = FspfParser("show", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="a protection file, or the directory of a volume")
    parser.add_argument("key", nargs="?", metavar="KEY", help="its key; better from a file or the environment")
    parser.add_argument("-t", "--tag", action="store_true", help="print only the tag of the state; needs no key")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    add_key_file(parser)
    parsed = parser.parse(arguments)
    file = protection_file(parsed.file)
    if parsed.tag:
        sys.stdout.write(f"{state_tag(file)}\n")
        return 0
    listing = list_fspf(file, key_for(file, os.environ, argument=parsed.key, key_file=parsed.key_file))
    if parsed.as_json:
        sys.stdout.write(f"{json.dumps(asdict(listing), indent=2)}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(listing))
    return 0


def _lines(listing: Listing) -> Iterator[str]:
    sealed = "encrypted" if listing.encrypted else "not encrypted, so nothing vouches for it"
    yield f"file    {shown(listing.file)}  format {listing.format}, {sealed}"
    yield f"state   {listing.tag}{'' if listing.commit is None else f'  commit {listing.commit}'}"
    if listing.unknown_fields:
        yield f"unknown {', '.join(listing.unknown_fields)}"
    if listing.regions is None:
        yield _HIDDEN
        return
    for region in listing.regions:
        yield ""
        yield f"region  {shown(region.path)}  {_described(region)}"
        yield from map(_line, region.files)


def _described(region: ListedRegion) -> str:
    place = "ephemeral" if region.kernel is None else f"kernel {shown(region.kernel)}" if region.kernel else _BESIDE
    sizes = f"  chunks of {region.chunk_bytes} bytes, keys of {region.key_bytes}"
    return f"{region.protection}  {place}{'' if region.protection == 'not-protected' else sizes}"


def _line(file: Listed) -> str:
    target = "" if file.target is None else f" -> {shown(file.target)}"
    disk = "" if file.ciphertext is None else f"  {shown(file.ciphertext)}"
    return f"{file.mode} {file.size:>12} {file.protection:13}  {shown(file.path)}{target}{disk}"
