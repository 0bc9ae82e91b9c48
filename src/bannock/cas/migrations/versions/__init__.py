"""The changes of the schema, one a module, each with the number of the one before it."""

from __future__ import annotations

__all__: list[str] = []
