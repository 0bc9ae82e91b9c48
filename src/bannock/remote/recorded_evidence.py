"""Recorded evidence in files, with the collateral that it is appraised by: what replays it against a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import InputError
from bannock.evidence.collateral.store import CollateralStore
from bannock.evidence.endorsements import NO_ENDORSEMENTS, Endorsements
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX
from bannock.evidence.recorded import appraise_recorded
from bannock.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bannock.policy.cases import Recorded
    from bannock.policy.claims import Claims

__all__ = ["appraise_file", "collateral_in"]

_ROOTS_BYTES_MAX: Final = 1 << 20


def appraise_file(directory: Path, recorded: Recorded) -> Claims:
    """Appraise recorded evidence, which brings what it was recorded with and finds the rest in directories.

    Args:
        directory: that the names of files are relative to.
        recorded: which evidence, when, and by what.

    Raises:
        EvidenceError: it proves nothing.
        InputError: a file or a directory is not there, or is something else.
    """
    endorsements = collateral_in(directory / name for name in recorded.collateral)
    roots = tuple(root for name in recorded.roots for root in _roots(directory / name))
    known = Endorsements(
        dcap=endorsements.dcap, certificates=endorsements.certificates, crls=endorsements.crls, roots=roots
    )
    data = read_bounded(directory / recorded.file, ENVELOPE_BYTES_MAX)
    return appraise_recorded(data, at=recorded.at, endorsements=known)


def collateral_in(directories: Iterable[Path]) -> Endorsements:
    """Give all that vendors vouch for in some directories.

    Raises:
        InputError: one of them is not there.
    """
    found = NO_ENDORSEMENTS
    for place in directories:
        if not place.is_dir():
            raise InputError(f"{place} is no directory of collateral")
        found = found.merged(CollateralStore(place).held().everything())
    return found


def _roots(path: Path) -> list[bytes]:
    try:
        certificates = x509.load_pem_x509_certificates(read_bounded(path, _ROOTS_BYTES_MAX))
    except ValueError as error:
        raise InputError(f"{path} has no certificates in PEM") from error
    return [each.public_bytes(Encoding.DER) for each in certificates]
