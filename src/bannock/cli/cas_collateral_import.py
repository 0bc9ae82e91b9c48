"""``scone cas collateral import``: bring collateral to a CAS or to this command, or see first what it would change."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.cli.attest_options import verification_time
from bannock.cli.cas_options import SconeParser, add_cas, cas_of, warn
from bannock.cli.collateral_here import collateral_directory
from bannock.cli.forecast_text import replay_lines
from bannock.errors import DeniedError
from bannock.evidence.collateral.authentic import authentic
from bannock.evidence.collateral.brought import read_brought
from bannock.evidence.collateral.store import CollateralStore
from bannock.remote.collateral import bring_collateral, replay_collateral
from bannock.values import KeyHash

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.evidence.endorsements import Endorsements

__all__ = ["main"]

_DESCRIPTION: Final = """\
Bring collateral: a bundle that a CAS has signed (scone cas collateral export), a directory of files, or one file of a
vendor. What vendors vouch for is kept where it is newer than what there is, and nothing else: who brings it need not
be trusted. With --dry-run nothing is kept; the CAS judges all evidence that it has seen again, and tells which
services would stop attesting, and why. Only the owner of a CAS can do this."""
_EXAMPLES: Final = """\
  scone cas collateral import --dry-run monday.jws
      12 of 340 would stop, and why
  scone cas collateral import monday.jws
  scone cas collateral import --local ./from-intel
      for `scone cas attest` on this machine: into ~/.cas/collateral"""


def main(arguments: Sequence[str]) -> int:
    """Parse, read, send, print."""
    parser = SconeParser("cas collateral import", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("path", type=Path, metavar="PATH", help="a bundle, a directory, or a file of a vendor")
    parser.add_argument("--signed-by", metavar="KEY_HASH", help="the CAS that has to have signed the bundle")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="keep nothing; tell what would change (exit code 30 where some would stop)",
    )
    parser.add_argument("--at", metavar="DATE", help="with --dry-run: judge at this date (yyyy-mm-dd) instead of now")
    parser.add_argument("--json", action="store_true", help="with --dry-run: as JSON")
    parser.add_argument("--local", action="store_true", help="for this command, into the directory of --directory")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="with --local (~/.cas/collateral)")
    add_cas(parser)
    parsed = parser.parse(arguments)
    signer = None if parsed.signed_by is None else KeyHash.from_base58(parsed.signed_by)
    brought, bundle = read_brought(parsed.path, cas=signer)
    if bundle is not None:
        sys.stderr.write(f"Bundle of CAS {bundle.cas}, {bundle.at.isoformat()}\n")
    if parsed.local:
        return _keep_here(brought, collateral_directory(parsed.directory))
    with cas_of(parsed) as cas:
        if parsed.dry_run:
            at = None if parsed.at is None else verification_time(parsed.at, dt.datetime.now(dt.UTC), option="--at")
            return _tell(replay_collateral(cas, brought, at=at), parsed)
        _told(*bring_collateral(cas, brought))
    return 0


def _keep_here(brought: Endorsements, directory: Path) -> int:
    good, refused = authentic(brought, dt.datetime.now(dt.UTC))
    _told(CollateralStore(directory).put(good), refused)
    return 0


def _told(kept: Sequence[str], refused: Sequence[str]) -> None:
    for each in kept:
        sys.stdout.write(f"kept {each}\n")
    if not kept:
        sys.stdout.write("nothing of it is newer than what there is\n")
    for each in refused:
        warn(f"not kept: {each}")


def _tell(found: dict[str, Any], parsed: argparse.Namespace) -> int:
    if parsed.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in replay_lines(found)))
    for each in found["refused"]:
        warn(f"does not count: {each}")
    return DeniedError.exit_code if found["stops"] else 0
