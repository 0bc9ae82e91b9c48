"""Registering one CAS with another, for ``scone cas register-backup`` and ``register-upgrade``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from bannock.cli.attest_options import add_accepted, add_machines, machines_text, tolerated
from bannock.cli.cas_options import SconeParser, add_cas, cas_address, cas_of
from bannock.cli.state import state_file
from bannock.remote.owner_client import register
from bannock.values import KeyHash, Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.net.address import Address
    from bannock.remote.owner_client import Registration

__all__ = ["register_cas"]


def register_cas(parser: SconeParser, arguments: Sequence[str], what: Registration, noun: str) -> None:
    """Parse, let the CAS attest the other one, print.

    Raises:
        BannockError: an option is not usable, or the CAS refuses.
    """
    parser.add_argument(
        "address", metavar=f"{noun.upper()}_CAS", help="where the other CAS is, as the first one sees it"
    )
    add_cas(parser)
    add_accepted(parser)
    add_machines(parser)
    parser.add_argument(
        "--mrenclave",
        action="append",
        default=[],
        metavar="MRENCLAVE",
        help="a measurement that the other CAS may have, instead of that of the first one; any of several will do",
    )
    parser.add_argument(
        "--key-hash",
        metavar="CAS_KEY_HASH",
        help="the key that the other CAS has to have; without it, a CAS that was attested here has to have its own",
    )
    parsed = parser.parse(arguments)
    other = cas_address(parsed.address)
    key = _known_key(other) if parsed.key_hash is None else KeyHash.from_base58(parsed.key_hash)
    measurements = [Measurement.from_hex(text) for text in parsed.mrenclave]
    with cas_of(parsed) as cas:
        found = register(
            cas,
            what,
            other,
            measurements=measurements,
            key=key,
            machines=None if parsed.machines is None else machines_text(parsed.machines),
            tolerated=tolerated(parsed),
        )
        sys.stdout.write(
            f"The CAS at https://{other}/ with the key {found} is a registered {noun} of the CAS at https://{cas.address}/\n"
        )


def _known_key(address: Address) -> KeyHash | None:
    """Give the key of a CAS that was attested at an address."""
    known = state_file(os.environ).read().cas.values()
    return next((each.key for each in known if (each.host, each.port) == address), None)
