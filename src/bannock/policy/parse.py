"""Parsing of session documents: text in, a session or every issue at once out.

Pure. The way is: YAML to a tree with places, variables into the tree, the wire form and the references checked
side by side, and the session built from what is left without an issue.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bannock.errors import Issue, PolicySyntaxError
from bannock.policy._check import Checked, built, check
from bannock.policy._document import Mapping, compose, repeated_keys
from bannock.policy._issues import ISSUES_MAX, issue_at
from bannock.policy._variables import substitute
from bannock.policy._warnings import check_warnings
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Iterable

    from bannock.policy.session import Session

__all__ = ["parse_session", "render_session", "session_hash"]

_NO_VARIABLES: Final[collections.abc.Mapping[str, str]] = MappingProxyType({})


def parse_session(text: str, *, variables: collections.abc.Mapping[str, str] | None = _NO_VARIABLES) -> Session:
    """Parse a session document.

    Args:
        text: of the document, a YAML text.
        variables: values for ``$NAME`` and ``${NAME}`` in it; None for a document whose variables were replaced
            already, in which a dollar sign is a dollar sign. Its author was warned then, and is not warned again.

    Raises:
        PolicySyntaxError: the document is not in the session language; it carries every issue.
    """
    checked = _checked(text, variables)
    return built(checked, warnings=() if variables is None else check_warnings(checked.root))


def render_session(text: str, *, variables: collections.abc.Mapping[str, str]) -> str:
    """Replace the variables of a template, for a CAS, which gets documents and no variables.

    The result is canonical JSON, which is YAML as well, so no value of a variable can bring in structure.

    Raises:
        PolicySyntaxError: as :func:`parse_session`.
    """
    return canonical_json(_checked(text, variables).plain).decode("utf-8")


def session_hash(session: Session) -> str:
    """Give the hash that names this very version of a session: 64 hexadecimal digits.

    It is SHA-256 over the canonical JSON (RFC 8785) of the document with its variables replaced: mappings are objects,
    lists are arrays, every scalar is a string. Layout, comments and the order of keys do not change it, all else does.
    """
    return session.digest


def _checked(text: str, variables: collections.abc.Mapping[str, str] | None) -> Checked:
    root = compose(text)
    if not isinstance(root, Mapping):
        raise _invalid([issue_at(root, "", "expected a mapping with name and version")])
    issues = [] if variables is None else substitute(root, variables)
    issues += repeated_keys(root)
    checked = check(root, known=issues)
    if isinstance(checked, Checked):
        return checked
    raise _invalid(checked)


def _invalid(issues: Iterable[Issue]) -> PolicySyntaxError:
    ordered = sorted(dict.fromkeys(issues), key=lambda issue: (issue.line, issue.column))
    count = len(ordered)
    what = "1 issue" if count == 1 else f"{count} issues"
    return PolicySyntaxError(f"the session document has {what}", ordered[:ISSUES_MAX])
