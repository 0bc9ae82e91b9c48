"""The decision on a client: whether it may do what it asks for, as the access policy of a session says.

Pure, and light to import. A decision returns nothing and raises; every reason is collected before it does.

What a refusal tells: a client that may read the session gets the reasons, entry by entry, because it can read the
policy anyway. Everybody else learns that the answer is no; the reasons are withheld for the operator's log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, assert_never

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import DeniedError, InputError
from bannock.policy.rules import CertificateHash, Keyword, SecretRule, Signer, Threshold
from bannock.policy.session import Section
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bannock.policy.rules import AccessRule
    from bannock.policy.session import Session
    from bannock.values import Secret

__all__ = ["CERTIFICATE_HINT", "AccessSubject", "Operation", "decide_access", "key_of_certificate", "operation_rules"]

CERTIFICATE_HINT: Final = (
    "a self-signed one will do: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
)

_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"

Operation: TypeAlias = Literal["read", "update", "create_sessions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSubject:
    """Who asks: one TLS client, or everybody who signed the session that is posted, and never both.

    Whoever carries a signed session to a CAS is nobody to its access policies, so it may be anyone.

    Attributes:
        key_hash: of the client's key, whose possession the TLS handshake has proven.
        certificate_pem_hash: SHA-256 over the client's certificate in PEM, 64 hexadecimal digits.
        signers: DER SubjectPublicKeyInfo of the keys whose signatures hold.
    """

    key_hash: KeyHash | None = None
    certificate_pem_hash: str | None = None
    signers: frozenset[bytes] = frozenset()

    @property
    def keys(self) -> frozenset[KeyHash]:
        """The hashes of all keys that were proven to be the subject's: who a CREATOR can be."""
        signed = {KeyHash(hashlib.sha256(signer).digest()) for signer in self.signers}
        return frozenset(signed if self.key_hash is None else {*signed, self.key_hash})

    def __str__(self) -> str:
        if self.signers:
            return " and ".join(f"signer {key}" for key in sorted(str(key) for key in self.keys))
        return "a client without a certificate" if self.key_hash is None else f"client {self.key_hash}"


def _no_secret(_name: str) -> Secret | None:
    return None


def decide_access(
    session: Session,
    operation: Operation,
    subject: AccessSubject,
    creator: KeyHash,
    *,
    secret: Callable[[str], Secret | None] = _no_secret,
) -> None:
    """Accept that somebody does something with the session.

    Args:
        session: whose access policy decides.
        operation: what is to be done.
        subject: who asks.
        creator: the client that created the session, or the one that signed it then.
        secret: gives the value of a secret of the session that the policy names; None where there is none to be had.

    Raises:
        DeniedError: the access policy does not allow it.
    """
    if Section.ACCESS_POLICY in session.unbound:
        # Neither may anybody read why: who may read is not known.
        raise DeniedError(
            f"{subject} may not {operation} session {session.name}",
            withheld=["its access_policy stands in secrets that cannot be had"],
        )
    judge = _Judge(subject, creator, secret)
    rules = operation_rules(session, operation)
    if judge.any_of(rules):
        return
    if subject.key_hash is None and not subject.signers:
        raise DeniedError("a client certificate is needed: its key is who the client is", hint=CERTIFICATE_HINT)
    reasons = [
        f"Caused by: None of the entries for {operation} in the access policy admits {subject}",
        *judge.errors(rules),
    ]
    may_read = operation != "read" and _Judge(subject, creator, secret).any_of(operation_rules(session, "read"))
    raise DeniedError(
        f"{subject} may not {operation} session {session.name}",
        reasons=reasons if may_read else (),
        withheld=() if may_read else reasons,
        hint=_hint(operation, subject),
    )


def operation_rules(session: Session, operation: Operation) -> tuple[AccessRule, ...]:
    """Give the entries that decide on an operation; any one of them is enough."""
    policy = session.access_policy
    match operation:
        case "read":
            return policy.read
        case "update":
            return policy.update
        case "create_sessions":
            return policy.update if policy.create_sessions is None else policy.create_sessions
        case _:
            assert_never(operation)


class _Judge:
    """Compares one subject with rules; a rule that cannot be decided admits nobody."""

    def __init__(self, subject: AccessSubject, creator: KeyHash, secret: Callable[[str], Secret | None]) -> None:
        self._subject = subject
        self._creator = creator
        self._secret = secret

    def any_of(self, rules: Iterable[AccessRule]) -> bool:
        return any(self._admits(rule) for rule in rules)

    def errors(self, rules: tuple[AccessRule, ...]) -> list[str]:
        lines = [self._error(rule) for rule in rules]
        return [
            line
            for number, (first, *rest) in enumerate(lines, start=1)
            for line in (f"Error {number} of {len(lines)}: {first}", *(f"  {inner}" for inner in rest))
        ]

    def _admits(self, rule: AccessRule) -> bool:
        admitted: bool
        match rule:
            case Keyword.CREATOR:
                admitted = self._creator in self._subject.keys
            case Keyword.ANY:
                admitted = bool(self._subject.keys)
            case Keyword.NONE:
                admitted = False
            case KeyHash():
                admitted = rule == self._subject.key_hash
            case CertificateHash():
                admitted = rule.value == self._subject.certificate_pem_hash
            case Signer():
                admitted = rule.public_key in self._subject.signers
            case SecretRule():
                named, _ = self._named(rule)
                admitted = named is not None and self._admits(named)
            case Threshold():
                admitted = 0 < rule.required <= sum(1 for inner in rule.rules if self._admits(inner))
            case _:
                assert_never(rule)
        return admitted

    def _named(self, rule: SecretRule) -> tuple[AccessRule | None, str]:
        """Give the rule that a secret holds; if there is none, what is wrong with it."""
        value = self._secret(rule.name)
        if value is None:
            return None, "does not exist, or cannot be read"
        # A secret names somebody, and nothing else: ANY in it would open a session by what another session says.
        try:
            text = value.reveal().decode("utf-8").strip()
            if text == Keyword.CREATOR:
                return Keyword.CREATOR, ""
            return key_of_certificate(text) if text.startswith(_CERTIFICATE) else KeyHash.from_base58(text), ""
        except (InputError, UnicodeDecodeError):
            return None, "holds neither CREATOR nor a key hash nor a certificate"

    def _error(self, rule: AccessRule) -> list[str]:
        """Say why a rule does not admit the subject: one line, and below it those of the rules in it."""
        expected: str
        match rule:
            case Keyword.CREATOR:
                expected = f"the creator, {self._creator}"
            case Keyword.ANY:
                expected = "anybody"
            case Keyword.NONE:
                expected = "nobody"
            case KeyHash():
                expected = f"client {rule}"
            case CertificateHash():
                expected = f"a certificate with SHA-256 {rule.value}"
            case Signer():
                expected = f"signer {KeyHash(hashlib.sha256(rule.public_key).digest())}"
            case SecretRule():
                named, problem = self._named(rule)
                if named is None:
                    return [f"Secret {rule.name} {problem}"]
                return [f"{line} (from secret {rule.name})" for line in self._error(named)]
            case Threshold():
                failing = tuple(each for each in rule.rules if not self._admits(each))
                met = len(rule.rules) - len(failing)
                found = f"{met} of {len(rule.rules)}"
                return [
                    f"Unexpected number of rules that are met ({found}) - Expected at least {rule.required}",
                    *self.errors(failing),
                ]
            case _:
                assert_never(rule)
        return [f"Unexpected subject ({self._subject}) - Expected {expected}"]


def key_of_certificate(text: str) -> KeyHash:
    """Give the hash of the key in a certificate.

    Raises:
        InputError: it is no certificate in PEM, or its key is of an unknown kind.
    """
    try:
        certificate = x509.load_pem_x509_certificate(text.encode("utf-8"))
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("a certificate in PEM whose key is of a known kind was expected") from None
    return KeyHash(hashlib.sha256(key).digest())


def _hint(operation: Operation, subject: AccessSubject) -> str:
    if subject.signers:
        return f"those that its access_policy lists under {operation} have to sign, all of one file"
    listed = f"its access_policy has to list the client's key hash under {operation}"
    return listed if operation == "read" else f"{listed}, or those that it lists have to sign"
