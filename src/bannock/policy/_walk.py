"""Finding one's way in a document's tree, past whatever is not of the right form.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.policy._document import Mapping, Node, Scalar, Sequence, scalars
from bannock.policy._issues import issue_at, nearest
from bannock.policy._versions import FIRST, rank
from bannock.policy.template import SecretKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from bannock.errors import Issue

__all__ = [
    "SESSION_CERTIFICATE",
    "descend",
    "has_session_certificate",
    "is_imported",
    "items",
    "names",
    "scalar",
    "secret_kinds",
    "text_of",
    "unknown",
]

#: A secret of kind ``session-ca`` that sessions of old versions have without defining it.
SESSION_CERTIFICATE: Final = "session-ca-certificate"


def items(parent: Mapping, section: str, path: str = "") -> list[tuple[Mapping, str]]:
    """Give the mappings in a list of a mapping, each with its path."""
    node = parent.get(section)
    start = f"{path}.{section}" if path else section
    found = node.items if isinstance(node, Sequence) else []
    return [(item, f"{start}[{index}]") for index, item in enumerate(found) if isinstance(item, Mapping)]


def scalar(parent: Node | None, key: str) -> Scalar | None:
    """Give the text that a mapping has under a key."""
    node = parent.get(key) if isinstance(parent, Mapping) else None
    return node if isinstance(node, Scalar) else None


def text_of(parent: Node | None, key: str, default: str = "") -> str:
    """Give the text itself."""
    node = scalar(parent, key)
    return default if node is None else node.text


def descend(node: Node | None, *keys: str) -> Node | None:
    """Follow keys as far as they lead."""
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def names(root: Mapping, section: str) -> set[str]:
    """Give the names of what a section lists."""
    return {name.text for item, _ in items(root, section) if (name := scalar(item, "name"))}


def is_imported(secret: Mapping) -> bool:
    """Whether the value of a secret is elsewhere, so that its document need not say much of it."""
    return secret.key("import") is not None or secret.key("import_akv") is not None


def has_session_certificate(root: Mapping) -> bool:
    """Whether :data:`SESSION_CERTIFICATE` is there without being defined, as it is before language version 0.3."""
    if rank(text_of(root, "version", FIRST)) >= rank("0.3.0") or SESSION_CERTIFICATE in names(root, "secrets"):
        return False
    return any(f"$$SCONE::{SESSION_CERTIFICATE}" in value.text for _, value in scalars(root))


def secret_kinds(root: Mapping) -> dict[str, str]:
    """Give the kind of every secret by its name; empty text where the document says none, or none that exists."""
    kinds: dict[str, str] = {SESSION_CERTIFICATE: SecretKind.SESSION_CA} if has_session_certificate(root) else {}
    for item, _ in items(root, "secrets"):
        name, kind = scalar(item, "name"), text_of(item, "kind")
        if name is not None:
            kinds[name.text] = kind if kind in set(SecretKind) else ""
    return kinds


def unknown(node: Scalar, path: str, what: str, known: Collection[str]) -> Issue:
    """Tell that nothing has the name that is referred to."""
    return issue_at(node, path, f"no {what} is named {node.source[:128]!r}", nearest(node.text, sorted(known)))
