"""Parsing of session documents: text in, a session or every issue at once out.

Pure. The way is: YAML to a tree with places, variables into the tree, the wire form and the references checked
side by side, and the session built from what is left without an issue.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from bannock.errors import Issue, PolicySyntaxError
from bannock.policy._access import read_access_policy
from bannock.policy._build import build_session
from bannock.policy._document import Mapping, compose, plain, repeated_keys
from bannock.policy._issues import ISSUES_MAX, issue_at, issues_of
from bannock.policy._references import check_references
from bannock.policy._variables import substitute
from bannock.policy._versions import FIRST, rank
from bannock.policy._walk import secret_kinds, text_of
from bannock.policy._wire import SessionWire
from bannock.policy._wire_base import Context
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Iterable

    from bannock.policy._access import AccessReading
    from bannock.policy.canonical import JsonValue
    from bannock.policy.session import Session

__all__ = ["parse_session", "render_session", "session_hash"]

_NO_VARIABLES: Final[collections.abc.Mapping[str, str]] = MappingProxyType({})


def parse_session(text: str, *, variables: collections.abc.Mapping[str, str] | None = _NO_VARIABLES) -> Session:
    """Parse a session document.

    Args:
        text: of the document, a YAML text.
        variables: values for ``$NAME`` and ``${NAME}`` in it; None for a document whose variables were replaced
            already, in which a dollar sign is a dollar sign.

    Raises:
        PolicySyntaxError: the document is not in the session language; it carries every issue.
    """
    return _built(_checked(text, variables))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """A document without issues."""

    root: Mapping
    plain: JsonValue
    document: SessionWire
    access: AccessReading


def _built(checked: _Checked) -> Session:
    return build_session(
        checked.document,
        checked.access,
        plain=checked.plain,
        digest=hashlib.sha256(canonical_json(checked.plain)).hexdigest(),
        warnings=tuple(checked.access.warnings),
    )


def _checked(text: str, variables: collections.abc.Mapping[str, str] | None) -> _Checked:
    root = compose(text)
    if not isinstance(root, Mapping):
        raise _invalid([issue_at(root, "", "expected a mapping with name and version")])
    issues = [] if variables is None else substitute(root, variables)
    issues += repeated_keys(root)
    return _check(root, issues)


def _check(root: Mapping, issues: list[Issue]) -> _Checked:
    """Check form and references side by side.

    Args:
        root: of the document.
        issues: what is known of it already.
    """
    # A scalar whose variable is missing would be reported twice: as missing, and as malformed without its value.
    reported = {(issue.line, issue.column) for issue in issues}
    more = list(itertools.islice(check_references(root), ISSUES_MAX))
    version, name = text_of(root, "version", FIRST), text_of(root, "name")
    access = read_access_policy(root.get("access_policy"), version=version, kinds=secret_kinds(root))
    more += access.issues
    tree = plain(root)
    document = None
    try:
        context = Context(version=rank(version), name=name or None)
        document = SessionWire.model_validate(tree, context=context)
    except ValidationError as error:
        more += issues_of(error, root)
    issues += [issue for issue in more if (issue.line, issue.column) not in reported]
    if issues or document is None:
        raise _invalid(issues)
    return _Checked(root=root, plain=tree, document=document, access=access)


def _invalid(issues: Iterable[Issue]) -> PolicySyntaxError:
    ordered = sorted(dict.fromkeys(issues), key=lambda issue: (issue.line, issue.column))
    count = len(ordered)
    what = "1 issue" if count == 1 else f"{count} issues"
    return PolicySyntaxError(f"the session document has {what}", ordered[:ISSUES_MAX])
