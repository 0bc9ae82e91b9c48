"""Names as Kubernetes takes them (DNS-1123, RFC 1123): of other names, changed as little as possible. Pure."""

from __future__ import annotations

import re
from typing import Final

from bannock.errors import InputError

__all__ = ["LABEL_MAX", "dns_label"]

LABEL_MAX: Final = 63
_OTHER: Final = re.compile(r"[^a-z0-9-]+")
_REPEATED: Final = re.compile(r"-{2,}")


def dns_label(name: str, what: str, *, longest: int = LABEL_MAX) -> str:
    """Return a name in small letters, digits and dashes.

    Args:
        name: any name.
        what: it is the name of, for a message.
        longest: how long it may be.

    Raises:
        InputError: nothing of it can be in a name.
    """
    label = _REPEATED.sub("-", _OTHER.sub("-", name.lower())).strip("-")[:longest].strip("-")
    if not label:
        raise InputError(
            f"{what} {name[:200]!r} has no letter or digit, as names in Kubernetes need",
            hint="choose another name",
        )
    return label
