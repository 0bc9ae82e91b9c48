"""``scone cas start-upgrade``: put the data of a CAS under new keys."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of
from bannock.errors import InputError
from bannock.remote.owner_client import start_upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Start the upgrade of a CAS: its data gets new keys, for itself and for those that were registered. Only the owner can
do this, and is asked whether to go on."""
_EXAMPLES: Final = """\
  scone cas start-upgrade
  scone cas start-upgrade --cas cas.example.com --yes"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, start."""
    parser = SconeParser("cas start-upgrade", _DESCRIPTION, _EXAMPLES)
    add_cas(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    parsed = parser.parse(arguments)
    with cas_of(parsed) as cas:
        if not parsed.yes:
            _confirm(f"Upgrade the CAS at https://{cas.address}/? [y/N] ")
        start_upgrade(cas)
        sys.stdout.write(f"The upgrade of the CAS at https://{cas.address}/ was started\n")
    return 0


def _confirm(question: str) -> None:
    """Ask a person, on a terminal.

    Raises:
        InputError: nobody is there, or the answer is not yes.
    """
    if not sys.stdin.isatty():
        raise InputError("there is nobody to ask whether to go on", hint="--yes goes on without asking")
    sys.stderr.write(question)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("the upgrade was not confirmed, and nothing was done")
