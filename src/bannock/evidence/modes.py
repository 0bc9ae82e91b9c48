"""``SCONE_MODE``: whether to insist on hardware, to do without it, or to take the best there is. Light to import."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Mode", "mode_of"]

_VARIABLE: Final = "SCONE_MODE"


class Mode(StrEnum):
    """What protects enclaves."""

    AUTO = "auto"
    HW = "hw"
    SIM = "sim"


def mode_of(environment: Mapping[str, str]) -> Mode:
    """Return what ``SCONE_MODE`` says, in any case of letters; ``auto`` if it says nothing.

    Raises:
        InputError: there is no such mode.
    """
    text = environment.get(_VARIABLE) or Mode.AUTO.value
    try:
        return Mode(text.lower())
    except ValueError:
        raise InputError(f"{_VARIABLE} is hw, sim or auto, found {text[:80]!r}") from None
