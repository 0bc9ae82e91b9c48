"""What a CAS tells its owner of the audit log: the newest entry, checkpoints, and the lines that the database has."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from bannock.cas.audit.findings import History

if TYPE_CHECKING:
    from bannock.cas.store import Store

__all__ = ["AuditHistory"]

#: Entries and bytes that are given at once; who wishes for more asks again.
_ENTRIES_MAX: Final = 10_000
_BYTES_MAX: Final = 4 << 20


class AuditHistory:
    """Answers questions about the log, and changes nothing; thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def places(self, first: int, last: int | None) -> History:
        """Give the newest entry's place and checkpoints.

        Args:
            first: number of the first entry that is of interest.
            last: of the last one, which is a checkpoint too if it is known; the newest without it.
        """
        with self._store.reading() as view:
            head = view.audit_head()
            end = head.sequence if last is None else min(last, head.sequence)
            checkpoints = view.audit_checkpoints(first, end)
        return History(
            head=head,
            checkpoints=tuple(place for place in checkpoints if place != head),
            certificate_chain=tuple(self._store.journal.chain),
        )

    def lines(self, first: int, last: int | None) -> bytes:
        """Give entries as lines, as many as fit into one answer; none where the database has none from there on."""
        lines: list[bytes] = []
        size = 0
        with self._store.reading() as view:
            for entry in itertools.islice(view.audit_entries(first, last), _ENTRIES_MAX):
                lines.append(entry.to_line() + b"\n")
                size += len(lines[-1])
                if size > _BYTES_MAX:
                    break
        return b"".join(lines)
