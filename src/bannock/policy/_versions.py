"""Versions of the session language, in their order.

Pure.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FIRST", "LATEST", "VERSIONS", "oldest_rank", "rank"]

FIRST: Final = "0.1"
LATEST: Final = "0.3.11"
VERSIONS: Final = (FIRST, "0.2", "0.3", *(f"0.3.{minor}" for minor in range(12)))
#: Minor versions can be named since 0.3.10 only; until then every document of them said "0.3".
_UNNAMED_MINOR: Final = 9


def rank(version: str) -> tuple[int, int]:
    """Give what versions are compared by; of a version that does not exist, that of the latest one.

    >>> rank("0.2") < rank("0.3") < rank("0.3.10")
    True
    """
    parts = version.split(".")
    if version not in VERSIONS:
        return rank(LATEST)
    if version == "0.3":
        return 3, _UNNAMED_MINOR
    return int(parts[1]), int(parts[2]) if len(parts) > 2 else 0  # noqa: PLR2004 - a minor version


def oldest_rank(version: str) -> tuple[int, int]:
    """Give the rank of the oldest version that a document of this one may have been written for."""
    return (3, 0) if version == "0.3" else rank(version)
