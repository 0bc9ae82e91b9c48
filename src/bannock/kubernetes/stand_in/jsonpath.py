"""The part of kubectl's JSONPath that scripts use: fields, elements by number or all, and text around them. Pure.

Source: Kubernetes documentation, "JSONPath Support". Filters, ranges, slices and functions are errors.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["evaluate"]

_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_STEP: Final = re.compile(
    r"""\.(?P<name>(?:[A-Za-z0-9_/-]|\\.)+) | \[(?P<number>-?[0-9]{1,6})\] | \[(?P<all>\*)\] | \.(?P<every>\*)
      | \[['"](?P<quoted>[^'"]+)['"]\]""",
    re.VERBOSE,
)
_ESCAPES: Final = {"n": "\n", "t": "\t"}


def evaluate(template: str, document: Any) -> str:
    """Fill a template, as ``{.items[0].metadata.name}``; what is not there is empty.

    Raises:
        InputError: the template has something in it that is not understood.
    """
    text = template if _EXPRESSION.search(template) else f"{{{template}}}"
    return _EXPRESSION.sub(lambda found: _filled(found[1].strip(), document), text)


def _filled(expression: str, document: Any) -> str:
    if quoted := _TEXT.fullmatch(expression):
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1])
    return " ".join(_shown(each) for each in _found(expression, document))


def _found(expression: str, document: Any) -> list[Any]:
    nodes, at = [document], 1 if expression[:1] in ("$", "@") else 0
    while at < len(expression):
        step = _STEP.match(expression, at)
        if step is None:
            if expression[at:] == ".":
                break
            raise InputError(
                f"the JSONPath {expression[:80]!r} is not understood at {expression[at : at + 20]!r}",
                hint="fields (.metadata.name), elements ([0], [*]) and texts are; --output json gives all",
            )
        nodes = [each for node in nodes for each in _stepped(node, step)]
        at = step.end()
    return nodes


def _stepped(node: Any, step: re.Match[str]) -> Iterator[Any]:
    name = step["quoted"] or (re.sub(r"\\(.)", r"\1", step["name"]) if step["name"] else None)
    if name is not None:
        if isinstance(node, dict) and name in node:
            yield node[name]
    elif step["number"] is not None:
        if isinstance(node, list) and -len(node) <= int(step["number"]) < len(node):
            yield node[int(step["number"])]
    elif isinstance(node, list):
        yield from node
    elif isinstance(node, dict):
        yield from node.values()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
