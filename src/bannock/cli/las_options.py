"""What the verbs of ``scone las`` share: where the LAS is, and what it says of its platform."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bannock.errors import EnvironmentFault, InputError, PeerError
from bannock.evidence.envelope import Envelope
from bannock.evidence.las_client import LasClient
from bannock.evidence.quotes import SgxQuote
from bannock.evidence.report import REPORT_DATA_BYTES
from bannock.identity.cas_program import cas_manifest
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    import argparse

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
        key: the public key that signs reports, 64 hexadecimal digits, as sessions name it.
    """

    address: str
    platform: str
    key: str


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
    """Let the LAS measure this process and report on it, and give what it did that with.

    Raises:
        EnvironmentFault: nothing answers there, or not in time.
        PeerError: the answer is malformed.
        InputError, DeniedError: the LAS cannot measure this process.
    """
    address = parsed.las or os.environ.get(_VARIABLE) or _DEFAULT
    timeout = getattr(parsed, "timeout", _TIMEOUT_SECONDS)
    if not timeout > 0:
        raise InputError(f"--timeout is a number of seconds above 0, found {timeout:g}")
    evidence, _ = LasClient(address, timeout=timeout).report(cas_manifest(), os.urandom(REPORT_DATA_BYTES))
    quote = Envelope.from_json(evidence).quote
    if isinstance(quote, SgxQuote):
        raise PeerError(f"the LAS at {address} answered with the quote of an enclave, which has no key of a LAS")
    key = load_der_public_key(quote.key).public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Attester(address=address, platform=quote.platform, key=key.hex())


def require_hardware(attester: Attester, what: str) -> None:
    """Refuse to tell of hardware where there is none.

    Raises:
        EnvironmentFault: the platform is simulated.
    """
    if attester.platform == SIMULATED:
        raise EnvironmentFault(f"the LAS at {attester.address} has platform {SIMULATED}, which has no {what}")
