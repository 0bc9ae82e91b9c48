"""Singleton enclaves: which starts of enclaves have had a configuration, and which of them is who it was.

Used by the thread that opened the transaction. A start is known by its instance, which its attester names. Every
configuration is remembered, whatever its session asks for: an enclave that was used for a session of an attacker's is
not fresh for anybody else's. What is given with a configuration is what the same start is known by after it lost its
connection; it is good once, so of two copies of one start (a machine that was cloned, say) one is refused as soon as
both went on.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from bannock.cas import schema
from bannock.cas.records import InstanceState

if TYPE_CHECKING:
    from bannock.cas.transaction import Change, View
    from bannock.policy.claims import Claims

__all__ = ["judge_instance", "record_instance"]


def judge_instance(view: View, start: str, shown: bytes | None, claims: Claims) -> Claims:
    """Give the claims with what is known of the start of an enclave.

    Args:
        view: of the store.
        start: what it wants to be.
        shown: what it was given before, if it says so.
        claims: of its evidence; without an instance, they stay what they are.
    """
    if claims.instance is None:
        return claims
    state = _state(view, claims.instance)
    return replace(claims, singleton=state is None or _goes_on(state, start, shown))


def record_instance(change: Change, start: str, shown: bytes | None, claims: Claims, given: bytes | None) -> None:
    """Remember that an enclave gets a configuration.

    Args:
        change: the transaction that releases it.
        start: what the enclave is.
        shown: what it was given before, if it says so.
        claims: of its evidence.
        given: what it is given now to be known by; None where nobody asks for that.
    """
    if claims.instance is None:
        return
    before = _state(change, claims.instance)
    if given is None:
        if before is None or before.start != start:
            _put(change, claims.instance, InstanceState(start=start))
        return
    # Who shows the one before the last never got the last: it dies.
    previous = None if before is None or shown is None or before.start != start else _hash(shown)
    _put(change, claims.instance, InstanceState(start=start, current=_hash(given), previous=previous))


def _goes_on(state: InstanceState, start: str, shown: bytes | None) -> bool:
    """Whether it is the start that was given the configuration, and nothing else in its process or a copy of it."""
    if shown is None or state.start != start:
        return False
    found = _hash(shown)
    return any(hmac.compare_digest(found, known) for known in (state.current, state.previous) if known is not None)


def _state(view: View, instance: str) -> InstanceState | None:
    found = view.kept(schema.instances, instance)
    return None if found is None else InstanceState.from_json(found)


def _put(change: Change, instance: str, state: InstanceState) -> None:
    change.keep(schema.instances, state.to_json(), instance)


def _hash(shown: bytes) -> bytes:
    return hashlib.sha256(shown).digest()
