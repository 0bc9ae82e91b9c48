"""Secrets in manifests: entries of the session language, which checks them itself (:mod:`.as_session`). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bannock.mesh.manifests import kinds
from bannock.policy.documents import Mapping, Node, found, plain
from bannock.policy.template import SecretKind

if TYPE_CHECKING:
    import collections.abc

    from bannock.mesh.manifests.description import Issues
    from bannock.policy.canonical import JsonValue

__all__ = ["SecretEntry", "SecretKindOf"]

_TEXT: Final[JsonValue] = ["string", "number", "boolean", "null"]
#: What editors are told of the keys; the session language has the last word.
_ABOUT: Final[dict[str, str]] = {
    "value": "its value, where nobody generates it; of binary secrets in hexadecimal",
    "size": "how long a generated value is, in bytes (20)",
    "export_public": "whether everybody may read it",
    "key_type": "P-256, P-384, Ed25519, RSA-2048 or RSA-3072 of a private key (P-256)",
    "migrate": "whether a private key is kept when the session is updated",
    "private_key": "secret of kind private-key that a certificate is for",
    "issuer": "secret of kind x509-ca that signs the certificate (itself)",
    "common_name": "common name of the certificate",
    "endpoint": "what the certificate is for: server or client",
    "valid_for": "how long a certificate is valid, as 90 days",
    "tenant_id": "tenant of Azure of an aad-token",
    "client_id": "application of Azure of an aad-token",
    "application_secret": "what the application shows to Azure",
    "certificate_thumbprint": "thumbprint of the certificate that it shows instead",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEntry:
    """A secret of a manifest.

    Attributes:
        name: of it.
        kind: of it, in the words of the session language.
        entry: all of it, as a session has it; it may hold a value, and ``{{NAME}}`` of the mesh.
    """

    name: str
    kind: str
    entry: collections.abc.Mapping[str, JsonValue] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretKindOf:
    """An entry of ``secrets``."""

    def read(self, node: Node, path: str, issues: Issues) -> Any:
        """Read what all secrets have; the rest is looked at as the session language does."""
        if not isinstance(node, Mapping):
            return issues.note(node, path, f"expected a mapping, found {found(node)}")
        name = node.get("name")
        if name is None:
            return issues.note(node, path, "name is missing")
        entry: dict[str, JsonValue] = plain(node)
        kind = entry.get("kind")
        return SecretEntry(
            name=str(kinds.LABEL.read(name, f"{path}.name", issues)),
            kind=kind if isinstance(kind, str) else "",
            entry=entry,
        )

    def schema(self) -> dict[str, JsonValue]:
        """Give its JSON Schema."""
        text: dict[str, JsonValue] = {key: {"description": about, "type": _TEXT} for key, about in _ABOUT.items()}
        names: JsonValue = {"description": "DNS names in the certificate", "type": ["array", "string"]}
        return {
            "type": "object",
            "required": ["name", "kind"],
            "properties": {
                "name": {"description": "name of the secret, unique in the mesh", **kinds.LABEL.schema()},
                "kind": {"description": "what kind of secret it is", "type": "string", "enum": list(SecretKind)},
                **text,
                "dns": names,
                "export": {"description": "sessions and namespaces that get it, beside those of the mesh"},
                "import": {"description": "the session that has it"},
                "import_akv": {"description": "the Azure Key Vault that has it", "type": "object"},
            },
        }
