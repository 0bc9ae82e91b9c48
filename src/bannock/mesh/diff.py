"""What an apply would change, in policies and in the chart. Pure but for reading the chart that is there."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Final

from bannock.images.sconify.leftovers import secrets_of
from bannock.mesh.policies import PolicyKind
from bannock.policy.documents import compose, plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.charts.chart import Chart
    from bannock.mesh.policies import Policy
    from bannock.policy.canonical import JsonValue

__all__ = ["chart_changes", "policy_changes"]

_PREDECESSOR: Final = "predecessor"
_VARIABLE: Final = re.compile(r"^services\[[0-9]+\]\.environment\.(?P<name>.+)$")
#: What holds values that nobody is shown: secrets, and files that the enclave alone sees.
_HIDDEN: Final = re.compile(r"^secrets\[[^\]]+\]\.value\b|^images\[[0-9]+\]\.injection_files\[[0-9]+\]\.content$")
#: A value that is no path and not too short to be a secret, so that the name of a variable alone decides.
_LONG: Final = "x" * 32
_NAMED: Final = frozenset({"secrets", "volumes"})
_DOCUMENTS: Final = re.compile(r"^(  documents: )\{\".*$")
_SHOWN_CHARACTERS: Final = 120
_FILE_BYTES_MAX: Final = 4 << 20


def policy_changes(policy: Policy, stored: str | None) -> Iterator[str]:
    """Yield what changes in a policy, a line each; nothing where nothing does. No value of a secret is told.

    Args:
        policy: as it would be.
        stored: the document that is there; None where there is none.
    """
    if stored is None:
        yield f"+ {policy.name}: a new session"
        return
    ours, theirs = (plain(compose(text)) for text in (policy.text, stored))
    for document in (ours, theirs):
        if isinstance(document, dict):
            document.pop(_PREDECESSOR, None)
    changes = list(_changes(theirs, ours, ""))
    if changes and policy.kind is PolicyKind.VOID:
        yield f"- {policy.name}: the mesh has no such service any more, and nobody starts by its policy"
    elif changes:
        yield f"~ {policy.name}:"
        yield from (f"    {line}" for line in changes)


def chart_changes(chart: Chart, directory: Path) -> Iterator[str]:
    """Yield what changes in a chart, as ``diff -u`` tells it.

    Args:
        chart: as it would be.
        directory: where it is.
    """
    there = {str(path.relative_to(directory)): path for path in sorted(directory.rglob("*")) if path.is_file()}
    for name in sorted({*there, *chart.files}):
        before = there[name].read_text("utf-8", "replace")[:_FILE_BYTES_MAX] if name in there else ""
        yield from difflib.unified_diff(
            _lines(before),
            _lines(chart.files.get(name, "")),
            f"{directory.name}/{name}" if name in there else "/dev/null",
            f"{directory.name}/{name}" if name in chart.files else "/dev/null",
            lineterm="",
            n=1,
        )


def _lines(text: str) -> list[str]:
    """Return lines, without what is another one each time: ciphertext of policies, which are compared themselves."""
    return [_DOCUMENTS.sub(r"\1(encrypted policies)", line) for line in text.splitlines()]


def _changes(before: JsonValue, after: JsonValue, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            below = f"{path}.{key}" if path else key
            if key not in after:
                yield f"- {below}"
            elif key not in before:
                yield f"+ {below}{_told(after[key], below)}"
            else:
                yield from _changes(before[key], after[key], below)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(before, after, path)
    elif before != after:
        yield f"~ {path}: {_value(before, path)} -> {_value(after, path)}"


def _list_changes(before: list[JsonValue], after: list[JsonValue], path: str) -> Iterator[str]:
    old, new = _by_name(before), _by_name(after)
    if old is not None and new is not None:
        for name in dict.fromkeys((*old, *new)):
            # Secrets and volumes are told by their names, which say more than numbers.
            number = list(new if name in new else old).index(name)
            label = f"{path}[{name if path in _NAMED else number}]"
            if name not in new:
                yield f"- {label}"
            elif name not in old:
                yield f"+ {label}"
            else:
                yield from _changes(old[name], new[name], label)
    elif len(before) == len(after):
        for index, (old_item, new_item) in enumerate(zip(before, after, strict=True)):
            yield from _changes(old_item, new_item, f"{path}[{index}]")
    else:
        yield f"~ {path}: {_value(before, path)} -> {_value(after, path)}"


def _by_name(items: list[JsonValue]) -> dict[str, JsonValue] | None:
    """Return what has a name, or is known by its path, by that; None if something has neither."""
    found: dict[str, JsonValue] = {}
    for item in items:
        if not isinstance(item, dict) or not ("name" in item or "path" in item):
            return None
        found[str(item.get("name", item.get("path")))] = item
    return found


def _told(value: JsonValue, path: str) -> str:
    return "" if isinstance(value, dict | list) else f": {_value(value, path)}"


def _value(value: JsonValue, path: str) -> str:
    variable = _VARIABLE.match(path)
    if _HIDDEN.match(path) or (variable and secrets_of({variable["name"]: _LONG})):
        return "(not shown)"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return f"{len(value)} entries"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
