"""Access policies: keywords, key hashes, certificates, signers, secrets, and the rules of governance.

Pure. Rules nest, so they are read off the document's tree, where each has its place; what is not a rule is an issue.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bannock.errors import InputError
from bannock.policy._document import Mapping, Node, Scalar, Sequence
from bannock.policy._issues import found, issue_at, nearest
from bannock.policy._versions import rank
from bannock.policy._wire_base import sole_placeholder
from bannock.policy.rules import AccessPolicy, AccessRule, CertificateHash, Keyword, SecretRule, Signer, Threshold
from bannock.policy.template import SecretKind, is_placeholder
from bannock.values import KeyHash

if TYPE_CHECKING:
    import collections.abc

    from bannock.errors import Issue

__all__ = ["AccessReading", "read_access_policy"]

_OPERATIONS: Final = ("read", "update", "create_sessions")
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_CERTIFICATE_HASH: Final = re.compile(r"[0-9A-Fa-f]{64}")
_THRESHOLD: Final = re.compile(r"require-at-least-(?P<number>[0-9]{1,4})")
_ALONE: Final = frozenset({Keyword.ANY, Keyword.NONE})
_ENTRY: Final = (
    "CREATOR, ANY, NONE, a key hash in base58, a certificate in PEM, $$SCONE::SECRET$$, signer, require-all or "
    "require-at-least-N"
)
#: Kinds of secrets that hold a client; a fragment is put in its place before anything is decided.
_KINDS_OF_CLIENTS: Final = frozenset(
    {SecretKind.ASCII, SecretKind.X509, SecretKind.X509_CA, SecretKind.SESSION_CA, SecretKind.CONFIG_FRAGMENT, ""}
)


@dataclass(slots=True, kw_only=True)
class AccessReading:
    """What an access policy is read as; with issues, the policy is not to be used.

    Attributes:
        unbound: secrets stand for more than one client, and have to be put in before anything is decided.
        warnings: secrets that can let nobody in.
    """

    policy: AccessPolicy
    issues: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)
    unbound: bool = False


def read_access_policy(node: Node | None, *, version: str, kinds: collections.abc.Mapping[str, str]) -> AccessReading:
    """Read ``access_policy``.

    Args:
        node: its place in the document; None where it is missing.
        version: of the document.
        kinds: of the session's secrets by name, empty where the document does not say.
    """
    reader = _Reader(version, kinds)
    policy = reader.policy(node)
    return AccessReading(policy=policy, issues=reader.issues, warnings=reader.warnings, unbound=reader.unbound)


class _Reader:
    def __init__(self, version: str, kinds: collections.abc.Mapping[str, str]) -> None:
        self.issues: list[Issue] = []
        self.warnings: list[Issue] = []
        self.unbound = False
        self._named_by_certificate = rank(version) < rank("0.3.0")
        self._kinds = kinds

    def policy(self, node: Node | None) -> AccessPolicy:
        path = "access_policy"
        if node is None or (isinstance(node, Scalar) and node.text in {"", "~", "null"}):
            return AccessPolicy()
        if isinstance(node, Scalar) and (rule := self._secret(node, path, several=True)) is not None:
            return AccessPolicy(read=(rule,), update=(rule,), create_sessions=(rule,))
        if not isinstance(node, Mapping):
            self.issues.append(issue_at(node, path, f"expected a mapping, found {found(node)}"))
            return AccessPolicy()
        rules: dict[str, tuple[AccessRule, ...]] = {}
        for key, value in node.pairs:
            below = f"{path}.{key.text}"
            if key.text in _OPERATIONS:
                rules[key.text] = self._operation(value, below, governed=key.text != "read")
            else:
                message = f"unknown key {key.source[:60]!r}, allowed: {', '.join(_OPERATIONS)}"
                self.issues.append(issue_at(key, below, message, nearest(key.text, _OPERATIONS)))
        default = AccessPolicy()
        return AccessPolicy(
            read=rules.get("read", default.read),
            update=rules.get("update", default.update),
            create_sessions=rules.get("create_sessions"),
        )

    def _operation(self, node: Node, path: str, *, governed: bool) -> tuple[AccessRule, ...]:
        """Read the rules of one operation, of which any one suffices."""
        if isinstance(node, Scalar) and (secret := self._secret(node, path, several=True)) is not None:
            return (secret,)
        if not isinstance(node, Sequence):
            return self._rule(node, path, governed=governed)
        if not node.items:
            self.issues.append(issue_at(node, path, "expected at least one entry, found none"))
        rules: list[AccessRule] = []
        for index, item in enumerate(node.items):
            if isinstance(item, Scalar) and item.text in _ALONE and len(node.items) > 1:
                message = f"{item.text} has to be the only entry of its list"
                self.issues.append(issue_at(item, f"{path}[{index}]", message))
            rules += self._rule(item, f"{path}[{index}]", governed=governed)
        return tuple(rules)

    def _rule(self, node: Node, path: str, *, governed: bool) -> tuple[AccessRule, ...]:
        if isinstance(node, Scalar):
            rule = self._entry(node, path)
            return () if rule is None else (rule,)
        if not isinstance(node, Mapping) or len(node.pairs) != 1:
            self.issues.append(issue_at(node, path, f"expected one of {_ENTRY}, found {found(node)}"))
            return ()
        ((key, value),) = node.pairs
        below = f"{path}.{key.text}"
        threshold = _THRESHOLD.fullmatch(key.text)
        if key.text not in {"signer", "require-all"} and threshold is None:
            message = f"unknown key {key.source[:60]!r}, allowed: signer, require-all, require-at-least-N"
            known = ("signer", "require-all", "require-at-least-1")
            self.issues.append(issue_at(key, below, message, nearest(key.text, known)))
            return ()
        if not governed:
            self.issues.append(
                issue_at(key, below, "signers and the rules of governance cannot be in read", "a reader signs nothing")
            )
            return ()
        if key.text == "signer":
            signer = self._signer(value, below)
            return () if signer is None else (signer,)
        rules = self._governance(value, below)
        count = len(value.items) if isinstance(value, Sequence) else 0
        required = count if threshold is None else int(threshold["number"])
        if count and not 0 < required <= count:
            message = f"expected a number from 1 to {count}, as many as there are rules, found {required}"
            self.issues.append(issue_at(key, below, message))
        return (Threshold(required=required, rules=rules),)

    def _governance(self, node: Node, path: str) -> tuple[AccessRule, ...]:
        """Read the rules of which a number have to hold."""
        if not isinstance(node, Sequence) or not node.items:
            self.issues.append(issue_at(node, path, f"expected a list of rules, found {found(node)}"))
            return ()
        rules: list[AccessRule] = []
        for index, item in enumerate(node.items):
            place = f"{path}[{index}]"
            if isinstance(item, Scalar) and item.text in _ALONE:
                self.issues.append(issue_at(item, place, f"{item.text} cannot be part of a rule of governance"))
                continue
            for rule in self._rule(item, place, governed=True):
                if rule in rules:
                    self.issues.append(
                        issue_at(item, place, "this rule is in the list already, and would count twice")
                    )
                rules.append(rule)
        return tuple(rules)

    def _entry(self, node: Scalar, path: str) -> AccessRule | None:
        """Read one client."""
        if (secret := self._secret(node, path, several=False)) is not None:
            return secret
        text = node.text.strip()
        hashed = _CERTIFICATE_HASH.fullmatch(text) is not None
        if hashed and not self._named_by_certificate:
            hint = "scone cert show-key-hash prints the hash of the key, which clients are named by since 0.3"
            self.issues.append(issue_at(node, path, "the hash of a certificate is of language version 0.2", hint))
            return None
        try:
            return CertificateHash(text.lower()) if hashed else _client(text)
        except InputError:
            meant = nearest(text, list(Keyword))
            self.issues.append(issue_at(node, path, f"expected one of {_ENTRY}, found {found(node)}", meant))
            return None

    def _signer(self, node: Node, path: str) -> AccessRule | None:
        what = "the public key of a signer in PEM, Ed25519 or P-384"
        if isinstance(node, Scalar):
            placeholder = sole_placeholder(node.text)
            if placeholder is not None:
                self.unbound = True
                return SecretRule(placeholder.within(self._kinds).name)
            try:
                return _signer(node.text)
            except InputError:
                pass
        self.issues.append(issue_at(node, path, f"expected {what}, found {found(node)}"))
        return None

    def _secret(self, node: Scalar, path: str, *, several: bool) -> SecretRule | None:
        """Read a reference to a secret.

        Args:
            node: the text.
            path: of it.
            several: whether more than one client may stand here, so that a secret of unknown kind has to be put in.
        """
        if not is_placeholder(node.text):
            return None
        placeholder = sole_placeholder(node.text.strip())
        if placeholder is None:
            message = "expected $$SCONE::NAME$$ alone, with its closing $$"
            self.issues.append(issue_at(node, path, message))
            return SecretRule("")
        name = placeholder.within(self._kinds).name
        kind = self._kinds.get(name)
        if kind is None:
            message = f"no secret is named {name!r}: nobody is let in by it"
            self.warnings.append(issue_at(node, path, message, nearest(name, self._kinds)))
        elif kind not in _KINDS_OF_CLIENTS:
            message = f"a secret of kind {kind} lets nobody in, expected one of kind ascii, x509 or config-fragment"
            self.warnings.append(issue_at(node, path, message))
        if path == "access_policy" or kind == SecretKind.CONFIG_FRAGMENT or (several and not kind):
            self.unbound = True
        return SecretRule(name)


def _client(text: str) -> AccessRule:
    if text in set(Keyword):
        return Keyword(text)
    return _certified_key(text) if text.startswith(_CERTIFICATE) else KeyHash.from_base58(text)


def _certified_key(text: str) -> KeyHash:
    """Give the key that a certificate stands for, so that it can be renewed without a new session."""
    try:
        certificate = x509.load_pem_x509_certificate(text.encode("utf-8"))
        public = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("a certificate in PEM whose key is of a known kind") from None
    return KeyHash(hashlib.sha256(public).digest())


def _signer(text: str) -> Signer:
    try:
        key = serialization.load_pem_public_key(text.strip().encode("utf-8"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("a public key in PEM") from None
    if not isinstance(key, ed25519.Ed25519PublicKey) and not (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
    ):
        raise InputError("a key of type Ed25519 or P-384")
    return Signer(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
