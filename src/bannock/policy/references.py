"""How a session names other sessions, here and on other CASes.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bannock.values import KeyHash

__all__ = ["RemoteCas", "SessionReference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCas:
    """Another CAS, and the key that it is known by: its own, or the one of this version of its software."""

    address: str
    key: KeyHash | None = None
    software_key: KeyHash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReference:
    """Another session, by its absolute name; ``digest`` pins a version of it, ``cas`` None means this CAS."""

    name: str
    digest: str | None = None
    cas: RemoteCas | None = None
