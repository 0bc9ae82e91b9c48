"""Small changes of session documents as texts, and what two documents differ in.

Pure. A change leaves layout and comments of everything else as they are, so that a document which comes back from a
CAS is still the one that somebody wrote.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.errors import InputError
from bannock.policy._document import compose, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.policy.canonical import JsonValue

__all__ = ["differences", "entry", "with_entry"]

_Loader: Final[Any] = getattr(yaml, "CLoader", yaml.Loader)
#: More differences than these tell a person nothing further.
_DIFFERENCES_MAX: Final = 20
#: Parts of a document whose values are no secrets; of others it is told that they differ, and not how.
_SHOWN: Final = frozenset(
    {
        "name",
        "version",
        "predecessor",
        "mrenclave",
        "mrenclaves",
        "mrsigner",
        "isvprodid",
        "isvsvn",
        "mode",
        "tolerate",
        "ignore_advisories",
        "path",
        "image_name",
        "pwd",
        "kind",
        "update_policy",
        "access_policy",
    }
)
_SHOWN_CHARACTERS: Final = 80


def with_entry(text: str, key: str, value: str) -> str:
    """Set the value of a key of a document, which is a mapping; the key is added where there is none.

    Raises:
        InputError: the text is not a YAML mapping within the bounds of a session document.
    """
    root = _root(text)
    written = json.dumps(value, ensure_ascii=False)
    node = next((node for name, node in root.value if name.value == key), None)
    if node is not None:
        begin, end = node.start_mark.index, node.end_mark.index
        # A value that is left out stands right behind its colon; one in a block has the end of its last line with it.
        before = " " if begin == end else ""
        after = "\n" if text[begin:end].endswith("\n") else ""
        return f"{text[:begin]}{before}{written}{after}{text[end:]}"
    if root.flow_style:
        begin = root.start_mark.index + 1
        comma = ", " if root.value else ""
        return f"{text[:begin]}{json.dumps(key)}: {written}{comma}{text[begin:]}"
    begin = root.start_mark.index
    indent = text[text.rfind("\n", 0, begin) + 1 : begin]
    return f"{text[:begin]}{key}: {written}\n{indent if indent.isspace() else ''}{text[begin:]}"


def entry(text: str, key: str) -> str | None:
    """Give the value of a key of a document, as it is written there, None where there is none or it is null.

    Raises:
        InputError: the text is not a YAML mapping within the bounds of a session document.
    """
    node = next((node for name, node in _root(text).value if name.value == key), None)
    # Every scalar is text in the session language, in quotes or not.
    if not isinstance(node, yaml.ScalarNode) or node.value in {"", "~", "null"}:
        return None
    return str(node.value)


def _root(text: str) -> yaml.MappingNode:
    compose(text)  # bounds depth and size, which the library's own way to a tree does not
    root = yaml.compose(text, Loader=_Loader)
    if not isinstance(root, yaml.MappingNode):
        raise InputError("a session document is a mapping with name and version")
    return root


def differences(expected: str, found: str, *, ignored: frozenset[str] = frozenset()) -> list[str]:
    """Tell where two documents differ, without values that may be secret; empty if they say the same.

    Args:
        expected: the one document.
        found: the other one.
        ignored: outermost keys that do not count.

    Raises:
        PolicySyntaxError: one of them is not a YAML document.
    """
    ours, theirs = (plain(compose(text)) for text in (expected, found))
    for document in (ours, theirs):
        if isinstance(document, dict):
            for key in ignored:
                document.pop(key, None)
    told: list[str] = []
    for path, message in _differences(ours, theirs, "", shown=False):
        if len(told) == _DIFFERENCES_MAX:
            return [*told, "and more"]
        told.append(f"{path or 'the document'}: {message}")
    return told


def _differences(expected: JsonValue, found: JsonValue, path: str, *, shown: bool) -> Iterator[tuple[str, str]]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in dict.fromkeys((*expected, *found)):
            below = f"{path}.{key}" if path else key
            if key not in found:
                yield below, "is not in the session of the CAS"
            elif key not in expected:
                yield below, "is only in the session of the CAS"
            else:
                yield from _differences(expected[key], found[key], below, shown=shown or key in _SHOWN)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(ours, theirs, f"{path}[{index}]", shown=shown)
    elif expected != found:
        yield path, f"expected {_clip(expected)}, found {_clip(found)}" if shown else "differs"


def _clip(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
