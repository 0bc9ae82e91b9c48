"""What the verbs of ``scone las`` share: where the LAS is, and what it says of its platform."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bannock.cas.tpm_roots import TpmRoots
from bannock.errors import EnvironmentFault, InputError, PeerError
from bannock.evidence.collateral.needs import needs_of
from bannock.evidence.collateral.store import CollateralStore
from bannock.evidence.endorsements import NO_ENDORSEMENTS, Endorsements
from bannock.evidence.las_client import LasClient
from bannock.evidence.quotes import SgxQuote
from bannock.files import read_bounded
from bannock.remote.tpm_proof import with_proven_tpm

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from bannock.evidence.las_client import LasPlatform
    from bannock.evidence.quotes import Quote

__all__ = ["Attester", "add_collateral", "add_las", "add_timeout", "asked", "endorsed", "require_hardware"]

_VARIABLE: Final = "SCONE_LAS_ADDR"
_DEFAULT: Final = "localhost"
_TIMEOUT_SECONDS: Final = 10.0
_ROOT_BYTES_MAX: Final = 64 << 10


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


def add_collateral(parser: argparse.ArgumentParser) -> None:
    """Add ``--collateral``, ``--root`` and ``--tpm-roots``."""
    parser.add_argument(
        "--collateral", type=Path, metavar="DIR", help="what vendors vouch for, as `scone cas collateral` keeps it"
    )
    parser.add_argument(
        "--root",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="certificate (DER) of an authority that vouches for TPMs and their keys",
    )
    parser.add_argument(
        "--tpm-roots",
        type=Path,
        metavar="DIR",
        help="certificates of those who are trusted to vouch for TPMs, as [tpm] roots of a CAS has them; "
        "with these, the TPM has to prove itself to this command",
    )


def endorsed(parsed: argparse.Namespace, attester: Attester, at: datetime) -> tuple[Attester, Endorsements]:
    """Give what is known of the vendors of a LAS's platform: from files, and along with its quote.

    A TPM proves itself to those who have named whom they trust to vouch for it; what the LAS says may change by that.

    Raises:
        EvidenceError: what came along is malformed, or nobody who is trusted vouches for the TPM.
        InputError: a file is not there.
        DeniedError, EnvironmentFault: the TPM does not prove itself.
    """
    known, roots = _known(parsed, attester), TpmRoots(parsed.tpm_roots).at(at)
    known = replace(known.merged(roots), roots=(*known.roots, *roots.roots))
    if not known.roots:
        return attester, known
    las = LasClient(attester.address)
    platform, known = with_proven_tpm(las, attester.platform, known, at=at, random=os.urandom)
    return replace(attester, platform=platform, key=_key(attester.address, platform.quote)), known


def _known(parsed: argparse.Namespace, attester: Attester) -> Endorsements:
    quote, came = attester.platform.quote, attester.platform.endorsements
    along = Endorsements.from_json(came) if came else NO_ENDORSEMENTS
    directory = parsed.collateral or Path(os.environ.get("HOME", "/")) / ".cas" / "collateral"
    known = NO_ENDORSEMENTS
    if parsed.collateral is not None or directory.is_dir():
        known = CollateralStore(directory).held().endorsements(needs_of(quote, along))
    roots = tuple(read_bounded(path, _ROOT_BYTES_MAX) for path in parsed.root)
    return Endorsements(roots=roots).merged(known).merged(along)


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
