"""Variables of session templates: ``$NAME`` and ``${NAME}``, replaced after the document is parsed.

Pure. Values go into scalars that are already cut out, so they can bring in no structure, no further variable and no
comment. ``$$`` and with it ``$$SCONE::NAME$$`` stay as they are, as does a dollar sign that no name follows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bannock.errors import Issue
from bannock.policy._document import EXPANDED_MAX, keys, scalars

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.policy._document import Node, Scalar

__all__ = ["substitute"]

_VARIABLE: Final = re.compile(
    r"\$\$SCONE::[^$]*\$\$|\$\$|\$(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<open>\$\{)"
)


def substitute(root: Node, variables: Mapping[str, str]) -> list[Issue]:
    """Put the values of variables into the tree, and report those that are missing, unusable or in a key."""
    issues = [
        Issue(line=key.line, column=key.column, path=path, message="a variable cannot be in a key, only in a value")
        for path, key in keys(root)
        if any(match["plain"] or match["braced"] for match in _VARIABLE.finditer(key.source))
    ]
    done: set[int] = set()
    total = 0
    for path, scalar in scalars(root):
        # An alias leads to the same scalar again; what a value brought in is not to be replaced once more.
        if id(scalar) not in done:
            done.add(id(scalar))
            issues += _substitute(path, scalar, variables)
        total += len(scalar.text)
        if total > EXPANDED_MAX:
            message = f"the document has more than {EXPANDED_MAX} characters once its variables are replaced"
            return [*issues, Issue(line=scalar.line, column=scalar.column, path=path, message=message)]
    return issues


def _substitute(path: str, scalar: Scalar, variables: Mapping[str, str]) -> Iterator[Issue]:
    messages: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match["plain"] or match["braced"]
        if match["open"]:
            messages.append("${ is not followed by a variable's name and }")
        elif name and name not in variables:
            messages.append(f"Value for variable ${name} is missing")
        elif name:
            if _is_unicode(variables[name]):
                return variables[name]
            messages.append(f"Value for variable ${name} is not Unicode text")
        return match[0]

    scalar.text = _VARIABLE.sub(value, scalar.source)
    return (
        Issue(line=scalar.line, column=scalar.column, path=path, message=message)
        for message in dict.fromkeys(messages)
    )


def _is_unicode(text: str) -> bool:
    """Whether text has no lone surrogates, which Python makes of environment bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
