"""What signed and encrypted sessions share: JSON and base64url that have one form each, and keys in JWK form.

Pure. Whatever comes in, only :class:`InputError` comes out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from bannock.errors import InputError
from bannock.policy.base64url import unbase64url

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["exact", "json_object", "point_of"]

#: A session document of a megabyte, in base64 twice, with its signatures.
DOCUMENT_CHARACTERS_MAX: Final = 4 << 20


def json_object(text: str | bytes, what: str) -> dict[str, Any]:
    if len(text) > DOCUMENT_CHARACTERS_MAX:
        raise InputError(f"the {what} has more than {DOCUMENT_CHARACTERS_MAX} characters")
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise InputError(f"the {what} is not JSON") from None
    if not isinstance(found, dict):
        raise InputError(f"the {what} is not a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def exact(found: object, names: frozenset[str] | set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(found, dict) or found.keys() != names:
        raise InputError(f"the {what} has the members {', '.join(sorted(names))} and no others")
    return found


def point_of(jwk: object, curve: ec.EllipticCurve, name: str, place: str) -> ec.EllipticCurvePublicKey:
    members = exact(jwk, {"kty", "crv", "x", "y"}, f"jwk of {place}")
    size = (curve.key_size + 7) // 8
    x, y = unbase64url(members["x"], place), unbase64url(members["y"], place)
    if (members["kty"], members["crv"], len(x), len(y)) != ("EC", name, size, size):
        raise InputError(f"the jwk of {place} is not a {name} key")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
    except ValueError:
        raise InputError(f"the jwk of {place} is not a point of {name}") from None
