"""``scone cas list``: the CASes that were attested."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.options import add_json, as_json
from bannock.cli.state import state_file
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.cli.state import KnownCas

__all__ = ["known_document", "main"]

_DESCRIPTION: Final = """\
List the CASes that were attested: name, URL, key hash, when, and on which platform; a star marks the default one.
Nobody is asked."""
_EXAMPLES: Final = """\
  scone cas list
  scone cas list --json | jq -r '.[] | select(.default) | .key_hash'"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print a line for each."""
    parser = SconeParser("cas list", _DESCRIPTION, _EXAMPLES)
    add_json(parser, "them")
    parsed = parser.parse(arguments)
    state = state_file(os.environ).read()
    if parsed.as_json:
        sys.stdout.write(as_json([known_document(known, state.default_cas) for _, known in sorted(state.cas.items())]))
        return 0
    for name, known in sorted(state.cas.items()):
        mark = "*" if name == state.default_cas else " "
        url = f"https://{Address(known.host, known.port)}/"
        platform = f"  platform {known.platform}" if known.platform else ""
        sys.stdout.write(f"{mark} {name}  {url}  {known.key_hash}  attested {known.attested}{platform}\n")
    return 0


def known_document(known: KnownCas, default: str | None) -> dict[str, object]:
    """Give what is remembered of a CAS, for programs."""
    return {
        "name": known.name,
        "url": f"https://{Address(known.host, known.port)}/",
        "default": known.name == default,
        "key_hash": known.key_hash,
        "software_key_hash": known.software_key_hash,
        "mrenclave": known.measurement,
        "mrsigner": known.signer,
        "platform": known.platform,
        "attested": known.attested,
    }
