"""The session language's own look at documents that are put together elsewhere. Pure."""

from __future__ import annotations

from bannock.policy._check import Checked, check

__all__ = ["Checked", "check"]
