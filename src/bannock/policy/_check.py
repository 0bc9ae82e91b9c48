"""The check of a document's tree, and the session that comes of one without issues.

Pure.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bannock.policy._access import read_access_policy
from bannock.policy._build import build_session
from bannock.policy._document import plain
from bannock.policy._issues import ISSUES_MAX, issues_of
from bannock.policy._references import check_references
from bannock.policy._versions import FIRST, rank
from bannock.policy._walk import SESSION_CERTIFICATE, has_session_certificate, secret_kinds, text_of
from bannock.policy._wire import SessionWire
from bannock.policy._wire_base import Context
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.errors import Issue
    from bannock.policy._access import AccessReading
    from bannock.policy._document import Mapping
    from bannock.policy.canonical import JsonValue
    from bannock.policy.session import Session

__all__ = ["Checked", "built", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A document without issues."""

    root: Mapping
    plain: JsonValue
    document: SessionWire
    access: AccessReading


def built(checked: Checked, *, warnings: Sequence[Issue] = ()) -> Session:
    """Build the session of a document.

    Args:
        checked: the document.
        warnings: about it, beside those of its access policy.
    """
    return build_session(
        checked.document,
        checked.access,
        plain=checked.plain,
        digest=hashlib.sha256(canonical_json(checked.plain)).hexdigest(),
        implied=[SESSION_CERTIFICATE] if has_session_certificate(checked.root) else [],
        warnings=(*warnings, *checked.access.warnings),
    )


def check(root: Mapping, *, known: Sequence[Issue] = ()) -> Checked | list[Issue]:
    """Check form and references side by side.

    Args:
        root: of the document.
        known: issues that it has already.
    """
    # A scalar whose variable is missing would be reported twice: as missing, and as malformed without its value.
    reported = {(issue.line, issue.column) for issue in known}
    more = list(itertools.islice(check_references(root), ISSUES_MAX))
    version, name = text_of(root, "version", FIRST), text_of(root, "name")
    access = read_access_policy(root.get("access_policy"), version=version, kinds=secret_kinds(root))
    more += access.issues
    text = plain(root)
    document = None
    try:
        context = Context(version=rank(version), name=name or None)
        document = SessionWire.model_validate(text, context=context)
    except ValidationError as error:
        more += issues_of(error, root)
    issues = [*known, *(issue for issue in more if (issue.line, issue.column) not in reported)]
    if issues or document is None:
        return issues
    return Checked(root=root, plain=text, document=document, access=access)
