"""Receipts of CASes, kept in the state of this command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bannock.evidence.receipt import Receipt

if TYPE_CHECKING:
    from bannock.cli.state import State, StateFile
    from bannock.values import KeyHash

__all__ = ["KeptReceipts"]


class KeptReceipts:
    """Implements :class:`bannock.remote.receipts.Receipts`.

    What counts is what was known before a CAS was asked: while it answers, another command may hear of more.
    """

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self._known = state.read()

    def newest(self, cas: KeyHash, session: str) -> Receipt | None:
        """Give what a CAS said of a session last."""
        return _receipt(self._known, cas, session)

    def keep(self, receipt: Receipt) -> None:
        """Keep a receipt, unless another command has kept a newer one meanwhile."""

        def step(state: State) -> State:
            newest = _receipt(state, receipt.cas, receipt.session)
            if newest is not None and newest.generation > receipt.generation:
                return state
            key = str(receipt.cas)
            entry = {"generation": receipt.generation, "hash": receipt.digest}
            return replace(
                state, receipts={**state.receipts, key: {**state.receipts.get(key, {}), receipt.session: entry}}
            )

        self._state.change(step)
        self._known = step(self._known)


def _receipt(state: State, cas: KeyHash, session: str) -> Receipt | None:
    entry: Any = state.receipts.get(str(cas), {}).get(session)
    if entry is None:
        return None
    return Receipt(cas=cas, session=session, generation=int(entry["generation"]), digest=str(entry["hash"]))
