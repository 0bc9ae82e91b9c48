"""``scone cas collateral export``: all collateral that evidence needs, in one file that the CAS has signed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of, warn
from bannock.evidence.collateral.bundle import open_bundle
from bannock.files import write_atomically
from bannock.remote.collateral import get_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Write all collateral that the evidence needs which a CAS has seen, to one file that the CAS has signed: to carry it to
machines without a network, where `scone cas collateral import` takes it. Only its owner can ask."""
_EXAMPLES: Final = """\
  scone cas collateral export --refresh monday.jws
      after the CAS asked the vendors for what is newer"""
_MODE: Final = 0o644


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, verify, write."""
    parser = SconeParser("cas collateral export", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="to be written; an older one is replaced")
    parser.add_argument("--refresh", action="store_true", help="let the CAS ask the vendors first, and wait for them")
    add_cas(parser)
    parsed = parser.parse(arguments)
    with cas_of(parsed) as cas:
        text = get_bundle(cas, refresh=parsed.refresh)
    bundle = open_bundle(text.decode("ascii", errors="replace"))
    write_atomically(parsed.file, text, mode=_MODE)
    found = bundle.endorsements
    sys.stdout.write(
        f"{parsed.file}: {len(found.dcap)} of Intel, {len(found.certificates)} certificates, {len(found.crls)} CRLs, "
        f"signed by CAS {bundle.cas}\n"
    )
    for each in bundle.missing:
        warn(f"missing: {each}")
    return 0
