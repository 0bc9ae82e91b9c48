"""The audit log: what a CAS did, in signed entries, each with the signature of the one before it.

Entries say who did what; values of secrets, keys and documents are never in them. Writing is in :mod:`journal`, the
pure verification in :mod:`verification`.
"""

from __future__ import annotations

__all__: list[str] = []
