"""What the verbs of ``scone las`` share: where the LAS is, and what it says of its platform."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bannock.errors import EnvironmentFault, InputError, PeerError
from bannock.evidence.las_client import LasClient
from bannock.evidence.quotes import SgxQuote

if TYPE_CHECKING:
    import argparse

    from bannock.evidence.las_client import LasPlatform
    from bannock.evidence.quotes import Quote

__all__ = ["Attester", "add_las", "add_timeout", "asked", "require_hardware"]

_VARIABLE: Final = "SCONE_LAS_ADDR"
_DEFAULT: Final = "localhost"
_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attester:
    """What a LAS gives evidence with.

    Attributes:
        address: of the LAS.
        platform: what stands behind its evidence.
        key: the public key that signs reports, 64 hexadecimal digits, as sessions name it; None where enclaves give
            evidence themselves.
    """

    address: str
    platform: LasPlatform
    key: str | None


def add_las(parser: argparse.ArgumentParser) -> None:
    """Add ``--las``."""
    parser.add_argument(
        "--las", metavar="LAS", help=f"HOST, HOST:PORT or unix:/PATH (${_VARIABLE}, or {_DEFAULT}; port 18766)"
    )


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add ``--timeout``."""
    parser.add_argument(
        "-t", "--timeout", type=float, default=_TIMEOUT_SECONDS, metavar="SECONDS", help="how long to wait (10)"
    )


def asked(parsed: argparse.Namespace) -> Attester:
    """Ask the LAS what it gives evidence with.

    Raises:
        EnvironmentFault: nothing answers there, or not in time.
        PeerError: the answer is malformed.
    """
    address = parsed.las or os.environ.get(_VARIABLE) or _DEFAULT
    timeout = getattr(parsed, "timeout", _TIMEOUT_SECONDS)
    if not timeout > 0:
        raise InputError(f"--timeout is a number of seconds above 0, found {timeout:g}")
    platform = LasClient(address, timeout=timeout).platform()
    return Attester(address=address, platform=platform, key=_key(address, platform.quote))


def _key(address: str, quote: Quote) -> str | None:
    if isinstance(quote, SgxQuote):
        return None
    try:
        return load_der_public_key(quote.key).public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PeerError(f"the LAS at {address} answered with a malformed key") from error


def require_hardware(attester: Attester, what: str, *kinds: type[Quote]) -> None:
    """Refuse to tell of what a platform does not have.

    Args:
        attester: the LAS.
        what: would be told of.
        kinds: the quotes of platforms that have it; a rehearsed platform has what the real one has.

    Raises:
        EnvironmentFault: the platform is another one.
    """
    if not isinstance(attester.platform.quote, kinds):
        raise EnvironmentFault(f"the LAS at {attester.address} has platform {attester.platform}, which has no {what}")
