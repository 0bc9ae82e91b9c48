"""The reader of session documents for other documents of YAML: a tree with places, and issues at them.

Pure. What :mod:`bannock.policy._document` refuses in a session (tags, endless aliases, a second document, depth) it
refuses in every document. What reads a session as such is :mod:`bannock.policy.checking`, which takes far longer to
load.
"""

from __future__ import annotations

from bannock.policy._document import Mapping, Node, Scalar, Sequence, compose, plain, repeated_keys, scalars, tree
from bannock.policy._places import ISSUES_MAX, found, issue_at, nearest
from bannock.policy._versions import LATEST

__all__ = [
    "ISSUES_MAX",
    "LATEST",
    "Mapping",
    "Node",
    "Scalar",
    "Sequence",
    "compose",
    "found",
    "issue_at",
    "nearest",
    "plain",
    "repeated_keys",
    "scalars",
    "tree",
]
