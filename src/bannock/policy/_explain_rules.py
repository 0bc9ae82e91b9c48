"""Access policies in words, and what each identity in them may do.

Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from bannock.errors import DeniedError
from bannock.policy.access import AccessSubject, Operation, decide_access, operation_rules
from bannock.policy.rules import CertificateHash, Keyword, SecretRule, Signer, Threshold
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bannock.policy.rules import AccessRule
    from bannock.policy.session import Session

__all__ = ["Identity", "identities_of", "rule_lines"]

_OPERATIONS: Final[tuple[Operation, ...]] = ("read", "update", "create_sessions")
_KEYWORDS: Final[Mapping[Keyword, str]] = {
    Keyword.CREATOR: "the creator",
    Keyword.ANY: "anybody with a key",
    Keyword.NONE: "nobody",
}
_CREATOR: Final = KeyHash(hashlib.sha256(b"whoever creates a session").digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whom an access policy names.

    Attributes:
        label: for people.
        may: operation → ``yes``, ``no``, or ``with others`` where further signatures are needed.
        secret: the secret that names them, if one does.
    """

    label: str
    may: Mapping[str, str]
    secret: str | None = None


def rule_lines(rules: Iterable[AccessRule], indent: str = "") -> Iterator[str]:
    """Say who is let in, a line for each rule."""
    for rule in rules:
        match rule:
            case Threshold():
                count = len(rule.rules)
                what = f"all {count} of" if rule.required == count else f"at least {rule.required} of {count}"
                yield f"{indent}{what}:"
                yield from rule_lines(rule.rules, indent + "  ")
            case _:
                yield indent + label_of(rule)


def label_of(rule: AccessRule) -> str:
    """Name whom a rule lets in."""
    if isinstance(rule, Keyword):
        return _KEYWORDS[rule]
    match rule:
        case KeyHash():
            return f"client {rule}"
        case CertificateHash():
            return f"client with certificate {rule.value}"
        case Signer():
            return f"signer {KeyHash(hashlib.sha256(rule.public_key).digest())}"
        case SecretRule():
            return f"whoever secret {rule.name} names"
        case Threshold():
            return " ".join(rule_lines([rule]))
        case _:
            assert_never(rule)


def identities_of(session: Session) -> tuple[Identity, ...]:
    """Give everybody whom the access policy names, and what each may do alone."""
    named: dict[AccessRule, set[Operation]] = {}
    for operation in _OPERATIONS:
        for rule in _leaves(operation_rules(session, operation)):
            if rule is not Keyword.NONE:
                named.setdefault(rule, set()).add(operation)
    return tuple(
        Identity(
            label=label_of(rule),
            may={operation: _answer(session, operation, rule, operations) for operation in _OPERATIONS},
            secret=rule.name if isinstance(rule, SecretRule) else None,
        )
        for rule, operations in named.items()
    )


def _leaves(rules: Iterable[AccessRule]) -> Iterator[AccessRule]:
    for rule in rules:
        if isinstance(rule, Threshold):
            yield from _leaves(rule.rules)
        else:
            yield rule


def _answer(session: Session, operation: Operation, rule: AccessRule, operations: set[Operation]) -> str:
    subject = _subject(rule)
    if operation == "read" and subject.signers:
        return "no"  # what is read is not signed by anybody

    def secret(name: str) -> Secret | None:
        # Whom another secret names is not known, so it names somebody else.
        return Secret(str(_stand_in(name)).encode("ascii"))

    try:
        decide_access(session, operation, subject, _CREATOR, secret=secret)
    except DeniedError:
        return "with others" if operation in operations else "no"
    return "yes"


def _subject(rule: AccessRule) -> AccessSubject:
    match rule:
        case Keyword.CREATOR:
            return AccessSubject(key_hash=_CREATOR)
        case KeyHash():
            return AccessSubject(key_hash=rule)
        case CertificateHash():
            return AccessSubject(key_hash=_stand_in(rule.value), certificate_pem_hash=rule.value)
        case Signer():
            return AccessSubject(signers=frozenset({rule.public_key}))
        case SecretRule():
            return AccessSubject(key_hash=_stand_in(rule.name))
        case _:
            return AccessSubject(key_hash=_stand_in("anybody at all"))


def _stand_in(name: str) -> KeyHash:
    """Make the key of somebody who is not known."""
    return KeyHash(hashlib.sha256(b"stands in for " + name.encode("utf-8")).digest())
