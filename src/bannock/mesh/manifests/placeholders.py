"""``{{NAME}}`` in manifests: a value that the mesh puts in.

Pure. YAML takes two braces without quotation marks for a mapping in a mapping, and users write them so; while a
document is read, characters of no script stand for the braces. A value is put into text that was read already, so
none can bring in structure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError
from bannock.policy.documents import Mapping, Scalar, Sequence, nearest

if TYPE_CHECKING:
    import collections.abc

    from bannock.policy.documents import Node

__all__ = ["fill", "fill_all", "hidden", "names_in", "shown"]

_PLACEHOLDER: Final = re.compile(r"\{\{(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,255})\}\}")
_HIDDEN: Final = re.compile("\ue000\ue000(?P<name>[A-Za-z0-9_.\\-]+)\ue001\ue001")


def hidden(text: str) -> str:
    """Hide the braces of a document from YAML; all of it stays at its place."""
    return _PLACEHOLDER.sub("\ue000\ue000\\g<name>\ue001\ue001", text)


def shown(node: Node) -> None:
    """Put the braces back in a tree."""
    match node:
        case Scalar():
            node.text = node.source = _HIDDEN.sub(r"{{\g<name>}}", node.text)
        case Sequence():
            for item in node.items:
                shown(item)
        case Mapping():
            for key, value in node.pairs:
                shown(key)
                shown(value)


def names_in(text: str) -> tuple[str, ...]:
    """Give the names of the values that a text asks for, each once."""
    return tuple(dict.fromkeys(match["name"] for match in _PLACEHOLDER.finditer(text)))


def fill(text: str, values: collections.abc.Mapping[str, str], *, where: str) -> str:
    """Put values into a text.

    Args:
        text: with placeholders.
        values: by name.
        where: what to call the text in an error.

    Raises:
        InputError: a value is missing.
    """
    for name in names_in(text):
        if name not in values:
            near = nearest(name, values)
            raise InputError(
                f"{where} asks for the value {{{{{name}}}}}, and the mesh has none",
                hint=near or "set it in section env of the mesh, for this service or for global",
            )
    return _PLACEHOLDER.sub(lambda match: values[match["name"]], text)


def fill_all(value: Any, values: collections.abc.Mapping[str, str], *, where: str) -> Any:
    """Put values into all text of a structure.

    Raises:
        InputError: a value is missing.
    """
    match value:
        case str():
            return fill(value, values, where=where)
        case list():
            return [fill_all(item, values, where=where) for item in value]
        case dict():
            return {key: fill_all(below, values, where=where) for key, below in value.items()}
        case _:
            return value
