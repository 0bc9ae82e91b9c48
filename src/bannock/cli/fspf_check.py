"""``scone fspf check``: read everything, name what is damaged."""

from __future__ import annotations

import json
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
    shown,
)
from bannock.cli.options import add_quiet
from bannock.errors import IntegrityError, RollbackError
from bannock.shield.check import check
from bannock.shield.listing import protection_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.shield.findings import CheckReport, Damage, StateOnDisk

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Read every page and every chunk of a protection file, or of a volume, and say what is damaged: which files, which
bytes, which ciphertext file, in which state. Nothing is written, and reading goes on behind damage. What was put back
to an older state is named as that, if --tag says which state is expected (CAS knows it; else the newest is taken).

Exit codes: 0 it is whole; 40 something is damaged; 41 it was rolled back. Damage goes before rollback.

{KEY_HELP}"""
_EXAMPLES: Final = """\
  scone fspf check ./volume --key-file key --tag 61b958b220b19b8b74a76f74fc94282e
  scone fspf check fspf.pb --key-file keytag --region /app=./image/app
  scone fspf check ./volume --key-file key --extract ./rescued
      take out what can be read; of a file that is not whole, what is lost is zeros and its name ends in .damaged
  scone fspf check ./volume --key-file key --remove-unreferenced
      remove ciphertext that commits left behind which were cut short"""


def main(arguments: Sequence[str]) -> int:
    """Parse, check, print the findings."""
    parser = FspfParser("check", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE|DIR", help="a protection file, or the directory of a volume")
    parser.add_argument("key", nargs="?", metavar="KEY", help="its key; better from a file or the environment")
    parser.add_argument("--tag", metavar="TAG", help="the state that is expected")
    parser.add_argument(
        "--region", action="append", default=[], metavar="PATH=DIR", help="where a region's files are on this machine"
    )
    parser.add_argument(
        "--remove-unreferenced", action="store_true", help="remove files that no state refers to, and nothing else"
    )
    parser.add_argument("--extract", type=Path, metavar="DIR", help="take out what can be read, to a new directory")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    add_key_file(parser)
    add_quiet(parser)
    parsed = parser.parse(arguments)
    file = protection_file(parsed.file)
    with observed(f"check {parsed.file}", quiet=parsed.quiet) as observer:
        report = check(
            file,
            key_for(file, os.environ, argument=parsed.key, key_file=parsed.key_file),
            hex_tag(parsed.tag),
            directories=directories("--region", parsed.region),
            remove_unreferenced=parsed.remove_unreferenced,
            extract=parsed.extract,
            observer=observer,
        )
    if parsed.as_json:
        sys.stdout.write(f"{json.dumps(_document(report), indent=2)}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(report))
    _raise_for(report)
    return 0


def _raise_for(report: CheckReport) -> None:
    if not report.whole:
        counts = {"damaged file": report.damaged, "lost page": report.lost, "contradiction": report.defects}
        found = [f"{len(each)} {what}{'s' if len(each) > 1 else ''}" for what, each in counts.items() if each]
        raise IntegrityError(
            f"{report.file} is damaged in state {report.tag}: {', '.join(found)}",
            hint="--extract takes out what can be read; put back a copy of this state to have all of it",
        )
    if report.rollback:
        raise RollbackError(
            f"{report.file} is in state {report.tag}, expected state {report.expected}: it was rolled back",
            hint="put back the copy that was confirmed last; this one is older or newer, and whole",
        )


def _lines(report: CheckReport) -> Iterator[str]:
    yield f"file     {shown(str(report.file))}"
    for state in report.states:
        yield f"state    {state.tag}  commit {state.generation}  {', '.join(_said(state, report))}"
    if report.rollback:
        yield f"rollback the expected state {report.expected} is not there"
    for path, place in report.regions:
        yield f"region   {shown(path)}{'' if place is None else f'  {shown(str(place))}'}"
    yield f"read     {report.files} entries, {report.size} bytes of files"
    for damage in report.damaged:
        yield f"damaged  {_damage(damage)}, in state {report.tag}"
    for page in report.lost:
        hidden = f"; it hides {', '.join(map(shown, page.hides))}" if page.hides else ""
        yield f"lost     page {page.page}: {page.reason}{hidden}"
    for defect in report.defects:
        yield f"defect   {shown(defect)}"
    for leftover in report.leftovers:
        size = "directory" if leftover.size is None else f"{leftover.size} bytes"
        done = "removed" if report.removed else "unused"
        yield f"{done:8} {shown(str(leftover))}  {size}, region {shown(leftover.region)}"
    if report.kept_because:
        yield f"kept     nothing was removed: {report.kept_because}"
    if report.recovered is not None:
        yield f"taken    {report.recovered} files and links out whole, {len(report.partial)} in part"
        yield from (f"         {shown(path)}" for path in report.partial)
    yield f"result   {'whole' if report.whole else 'damaged'}{', and rolled back' if report.rollback else ''}"


def _said(state: StateOnDisk, report: CheckReport) -> Iterator[str]:
    if not report.encrypted:
        yield "not encrypted, so nothing vouches for it"
    else:
        yield "authentic" if state.authentic else "not authentic"
    if state.expected:
        yield "expected"
    if state.checked:
        yield "checked here"


def _damage(damage: Damage) -> str:
    path = "a file without a name" if damage.path is None else shown(damage.path)
    where = "" if damage.ciphertext is None else f" ({shown(damage.ciphertext)} on the disk)"
    lost = ", ".join(f"{first} to {last}" for first, last in damage.ranges)
    return f"{path}{where}: {f'bytes {lost}' if lost else 'all of it'}: {'; '.join(damage.reasons)}"


def _document(report: CheckReport) -> dict[str, object]:
    return {
        "file": str(report.file),
        "whole": report.whole,
        "rollback": report.rollback,
        "tag": str(report.tag),
        "expected": None if report.expected is None else str(report.expected),
        "encrypted": report.encrypted,
        "states": [
            {
                "tag": str(state.tag),
                "commit": state.generation,
                "authentic": state.authentic,
                "checked": state.checked,
                "expected": state.expected,
            }
            for state in report.states
        ],
        "regions": [{"path": path, "directory": place and str(place)} for path, place in report.regions],
        "entries": report.files,
        "bytes": report.size,
        "damaged": [
            {
                "path": damage.path,
                "inode": damage.inode,
                "ciphertext": damage.ciphertext,
                "ranges": damage.ranges,
                "reasons": damage.reasons,
            }
            for damage in report.damaged
        ],
        "lost": [{"page": page.page, "reason": page.reason, "hides": page.hides} for page in report.lost],
        "defects": report.defects,
        "unreferenced": [
            {"region": leftover.region, "path": str(leftover), "bytes": leftover.size} for leftover in report.leftovers
        ],
        "removed": report.removed,
        "kept_because": report.kept_because,
        "extracted": report.recovered,
        "extracted_in_part": report.partial,
    }
