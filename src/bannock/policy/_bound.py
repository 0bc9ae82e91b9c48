"""Values of a document in wire form, of which secrets may still stand for some.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from bannock.errors import Bug
from bannock.policy.template import Placeholder

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["all_of", "is_unbound", "one"]

_T = TypeVar("_T")


def is_unbound(value: object) -> bool:
    """Whether a secret has to be put in somewhere; templates are filled at their own time."""
    match value:
        case Placeholder():
            return True
        case BaseModel():
            return any(is_unbound(getattr(value, name)) for name in type(value).model_fields)
        case list() | tuple():
            return any(is_unbound(item) for item in value)
        case dict():
            return any(is_unbound(item) for item in value.values())
        case _:
            return False


def one(value: _T | Placeholder) -> _T:
    """Give a value for which no secret stands."""
    if isinstance(value, Placeholder):
        raise Bug("a secret was not put into its section")
    return value


def all_of(values: Sequence[_T | Placeholder] | Placeholder) -> tuple[_T, ...]:
    """Give the values of a list for which no secrets stand."""
    return tuple(one(value) for value in one(values))
