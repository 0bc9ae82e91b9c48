"""Collateral that a person brings: a bundle of a CAS, a directory, or a single file of a vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError, InputError
from bannock.evidence.collateral.bundle import BUNDLE_BYTES_MAX, Bundle, open_bundle
from bannock.evidence.collateral.store import CollateralStore, parse_file
from bannock.evidence.endorsements import FORMAT, Endorsements
from bannock.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.values import KeyHash

__all__ = ["read_brought"]

#: What every compact JWS begins with: base64url of ``{"``.
_JWS: Final = b"eyJ"


def read_brought(path: Path, *, cas: KeyHash | None = None) -> tuple[Endorsements, Bundle | None]:
    """Read it.

    Args:
        path: of a bundle, of a directory (:mod:`bannock.evidence.collateral.store`), or of one file as there.
        cas: who has to have signed a bundle; None for anybody.

    Returns:
        What there is, and the bundle if it is one. None of it is verified but the signature of a bundle.

    Raises:
        InputError: there is none of these.
        EvidenceError: a bundle does not hold.
    """
    if path.is_dir():
        found = CollateralStore(path).held().everything()
        if not found:
            raise InputError(f"there is no collateral in {path}")
        return found, None
    data = read_bounded(path, BUNDLE_BYTES_MAX)
    if data.lstrip().startswith(_JWS):
        bundle = open_bundle(data.decode("ascii", errors="replace"), cas=cas)
        return bundle.endorsements, bundle
    try:
        if FORMAT.encode("ascii") in data:
            return Endorsements.from_json(data.strip()), None
        return parse_file(data, path.suffix.lower()).everything(), None
    except (EvidenceError, InputError) as error:
        raise InputError(
            f"{path} is no collateral", hint="expected a bundle, Intel's collateral in JSON, certificates or CRLs"
        ) from error
