"""Files of rules for machines: what a session has under ``machines``, by itself.

Pure. A file is a rule or a list of rules, or a mapping with ``machines``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.errors import PolicySyntaxError
from bannock.policy._check import Checked, built, check
from bannock.policy._document import Mapping, Scalar, compose, repeated_keys
from bannock.policy._issues import issue_at
from bannock.policy._versions import LATEST

if TYPE_CHECKING:
    from bannock.policy._document import Node
    from bannock.policy.machines import MachineRule

__all__ = ["parse_machines"]

_KEY: Final = "machines"
_PLACE: Final = f"security.attestation.{_KEY}"


def parse_machines(text: str) -> tuple[MachineRule, ...]:
    """Parse a file of rules.

    Raises:
        PolicySyntaxError: it is none; it carries every issue.
    """
    root = compose(text)
    issues = list(repeated_keys(root))
    rules = root.get(_KEY) if isinstance(root, Mapping) and root.key(_KEY) is not None else root
    head = [(_scalar("name"), _scalar("machines")), (_scalar("version"), _scalar(LATEST))]
    document = _around("security", _around("attestation", _around(_KEY, root if rules is None else rules)))
    document.pairs = [*head, *document.pairs]
    checked = check(document, known=issues)
    if isinstance(checked, Checked):
        machines = built(checked).security.machines
        if machines:
            return machines
        checked = [issue_at(root, "", "expected at least one rule")]
    issues = [replace(issue, path=issue.path.removeprefix(f"{_PLACE}.").removeprefix(_PLACE)) for issue in checked]
    ordered = sorted(dict.fromkeys(issues), key=lambda issue: (issue.line, issue.column))
    what = "1 issue" if len(ordered) == 1 else f"{len(ordered)} issues"
    raise PolicySyntaxError(f"the file of machines has {what}", ordered)


def _around(key: str, node: Node) -> Mapping:
    """Give a mapping with one key."""
    return Mapping(line=0, column=0, pairs=[(_scalar(key), node)])


def _scalar(text: str) -> Scalar:
    return Scalar(line=0, column=0, text=text, source=text)
