"""Decisions on clients: every operation by every kind of identity, and what a refusal tells."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import itertools
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import DeniedError
from bannock.policy.access import AccessSubject, Operation, decide_access
from bannock.policy.rules import (
    AccessPolicy,
    CertificateHash,
    Keyword,
    SecretRule,
    Signer,
    Threshold,
)
from bannock.policy.session import Section
from bannock.values import KeyHash, Secret
from tests.unit.policy.documents import parse

if TYPE_CHECKING:
    from bannock.policy.rules import AccessRule
    from bannock.policy.session import Session

_OPERATIONS: Final[tuple[Operation, ...]] = ("read", "update", "create_sessions")

_SIGNERS: Final = {name: b"public key of " + name.encode() for name in ("owner", "v1", "v2", "v3", "m1", "m2")}


def _hash(signer: bytes) -> KeyHash:
    return KeyHash(hashlib.sha256(signer).digest())


def _signed(*names: str) -> AccessSubject:
    return AccessSubject(signers=frozenset(_SIGNERS[name] for name in names))


CREATOR: Final = KeyHash(b"c" * 32)
FRIEND: Final = KeyHash(b"f" * 32)

#: Every kind of identity that there is.
_SUBJECTS: Final = {
    "creator": AccessSubject(key_hash=CREATOR),
    "friend": AccessSubject(key_hash=FRIEND, certificate_pem_hash="ab" * 32),
    "stranger": AccessSubject(key_hash=KeyHash(b"s" * 32), certificate_pem_hash="cd" * 32),
    "nobody": AccessSubject(),
    "owner": _signed("owner"),
    "v1": _signed("v1"),
    "v1+v2": _signed("v1", "v2"),
    "board": _signed("v1", "v2", "m1", "m2"),
}
#: ANY is any client and any signer; nobody is neither.
_ALL: Final = set(_SUBJECTS) - {"nobody"}


def _policy(**rules: tuple[AccessRule, ...]) -> Session:
    return dataclasses.replace(parse(), access_policy=AccessPolicy(**rules))


def _allowed(session: Session, operation: Operation, creator: KeyHash = CREATOR, **secrets: bytes) -> set[str]:
    found = set()
    values = {name: Secret(value) for name, value in secrets.items()}
    for name, subject in _SUBJECTS.items():
        try:
            decide_access(session, operation, subject, creator, secret=values.get)
        except DeniedError:
            continue
        found.add(name)
    return found


def _signer(name: str) -> Signer:
    return Signer(_SIGNERS[name])


#: The board of the reference's chapter on governance, and its owner who may overrule it.
_BOARD: Final = Threshold(
    required=2,
    rules=(
        Threshold(required=2, rules=(_signer("v1"), _signer("v2"), _signer("v3"))),
        Threshold(required=2, rules=(_signer("m1"), _signer("m2"))),
    ),
)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ((Keyword.CREATOR,), {"creator"}),
        ((Keyword.ANY,), _ALL),
        ((Keyword.NONE,), set()),
        ((), set()),
        ((FRIEND,), {"friend"}),
        ((FRIEND, Keyword.CREATOR), {"friend", "creator"}),
        ((CertificateHash("ab" * 32),), {"friend"}),
        ((_signer("owner"),), {"owner"}),
        ((_signer("v1"),), {"v1", "v1+v2", "board"}),
        # The key of a signer is not a client's key, and the other way round.
        ((_hash(_SIGNERS["owner"]),), set()),
        ((Threshold(required=2, rules=(_signer("v1"), _signer("v2"))),), {"v1+v2", "board"}),
        ((Threshold(required=1, rules=(_signer("v1"), FRIEND)),), {"v1", "v1+v2", "board", "friend"}),
        ((_BOARD,), {"board"}),
        ((Threshold(required=1, rules=(_signer("owner"), _BOARD)),), {"board", "owner"}),
        # Nothing is no majority, and neither is what a document cannot say.
        ((Threshold(required=0, rules=(FRIEND,)),), set()),
        ((Threshold(required=0, rules=()),), set()),
        ((Threshold(required=2, rules=(FRIEND,)),), set()),
        ((Threshold(required=1, rules=(Keyword.NONE,)),), set()),
    ],
)
@pytest.mark.parametrize("operation", _OPERATIONS)
def test_every_rule_for_every_operation_and_every_identity(
    rules: tuple[AccessRule, ...], allowed: set[str], operation: Operation
) -> None:
    """An operation is decided by its own rules, of which one is enough."""
    assert _allowed(_policy(**{operation: rules}), operation) == allowed


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_what_is_not_said_is_for_the_creator_alone(operation: Operation) -> None:
    """The default of the language."""
    assert _allowed(parse(), operation) == {"creator"}


def test_an_operation_does_not_give_another_one() -> None:
    """Who may read may not update, and the other way round."""
    assert _allowed(_policy(read=(FRIEND,)), "update") == {"creator"}
    assert _allowed(_policy(update=(FRIEND,)), "read") == {"creator"}


def test_whoever_may_update_may_create_unless_the_session_says_otherwise() -> None:
    """The default of ``create_sessions``."""
    assert _allowed(_policy(update=(FRIEND,)), "create_sessions") == {"friend"}
    assert _allowed(_policy(update=(FRIEND,), create_sessions=(Keyword.NONE,)), "create_sessions") == set()
    assert _allowed(_policy(update=(Keyword.NONE,), create_sessions=(FRIEND,)), "create_sessions") == {"friend"}


def test_a_creator_that_signed_is_known_by_signing_again() -> None:
    """CREATOR is a key: of the client or, where the first version was signed, of its signer."""
    assert _allowed(parse(), "update", _hash(_SIGNERS["v1"])) == {"v1", "v1+v2", "board"}


def _certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(1))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (b"CREATOR", {"creator"}),
        (f"{FRIEND}\n".encode(), {"friend"}),
        (b"ANY", set()),
        (b"NONE", set()),
        (b"\xff\xfe", set()),
        (b"-----BEGIN CERTIFICATE-----", set()),
        (b"", set()),
    ],
)
def test_a_secret_names_one_client_and_nothing_more(value: bytes, allowed: set[str]) -> None:
    """Whatever else it holds lets nobody in: ANY would open the session by what another session says."""
    assert _allowed(_policy(read=(SecretRule("who"),)), "read", who=value) == allowed


def test_a_secret_may_hold_a_certificate() -> None:
    """Its key counts, so that it can be renewed."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    subject = AccessSubject(key_hash=_hash(der))
    session = _policy(read=(SecretRule("who"),))
    decide_access(session, "read", subject, CREATOR, secret=lambda _: Secret(_certificate(key)))
    with pytest.raises(DeniedError):
        decide_access(session, "read", _SUBJECTS["friend"], CREATOR, secret=lambda _: Secret(_certificate(key)))


def test_a_secret_that_cannot_be_had_does_not_hinder_the_others() -> None:
    """It is passed over, as the reference says."""
    assert _allowed(_policy(read=(SecretRule("gone"), FRIEND)), "read") == {"friend"}


def _refusal(session: Session, operation: Operation, subject: AccessSubject) -> DeniedError:
    with pytest.raises(DeniedError) as caught:
        decide_access(session, operation, subject, CREATOR)
    return caught.value


def test_whoever_may_read_is_told_why_not() -> None:
    """Entry by entry; governance with what is missing, nested."""
    session = _policy(read=(Keyword.ANY,), update=(FRIEND, SecretRule("gone"), _BOARD))
    refusal = _refusal(session, "update", _SUBJECTS["v1+v2"])
    v1, v2, m1, m2 = (_hash(_SIGNERS[name]) for name in ("v1", "v2", "m1", "m2"))
    who = " and ".join(f"signer {key}" for key in sorted([str(v1), str(v2)]))
    assert refusal.message == f"{who} may not update session test"
    assert refusal.reasons == (
        f"Caused by: None of the entries for update in the access policy admits {who}",
        f"Error 1 of 3: Unexpected subject ({who}) - Expected client {FRIEND}",
        "Error 2 of 3: Secret gone does not exist, or cannot be read",
        "Error 3 of 3: Unexpected number of rules that are met (1 of 2) - Expected at least 2",
        "  Error 1 of 1: Unexpected number of rules that are met (0 of 2) - Expected at least 2",
        f"    Error 1 of 2: Unexpected subject ({who}) - Expected signer {m1}",
        f"    Error 2 of 2: Unexpected subject ({who}) - Expected signer {m2}",
    )
    assert refusal.withheld == ()


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_whoever_may_not_read_learns_nothing_of_the_policy(operation: Operation) -> None:
    """The reasons are for the operator's log."""
    session = _policy(read=(FRIEND,), update=(FRIEND,))
    refusal = _refusal(session, operation, _SUBJECTS["stranger"])
    told = "".join([refusal.message, *refusal.reasons, refusal.hint or ""])
    assert str(FRIEND) not in told
    assert str(FRIEND) in "".join(refusal.withheld)


def test_a_client_without_a_certificate_is_told_to_show_one() -> None:
    """It is the first thing that users forget."""
    refusal = _refusal(parse(), "read", AccessSubject())
    assert refusal.message == "a client certificate is needed: its key is who the client is"
    assert "openssl req -x509" in (refusal.hint or "")


def test_an_access_policy_that_lacks_its_secrets_lets_nobody_in() -> None:
    """Not even by what else it says."""
    session = dataclasses.replace(_policy(read=(Keyword.ANY,)), unbound=frozenset({Section.ACCESS_POLICY}))
    for operation, subject in itertools.product(_OPERATIONS, _SUBJECTS.values()):
        refusal = _refusal(session, operation, subject)
        assert refusal.reasons == ()
        assert "cannot be had" in refusal.withheld[0]


_rules: Final = st.recursive(
    st.sampled_from([_signer(name) for name in _SIGNERS]),
    lambda inner: st.builds(
        lambda rules, share: Threshold(required=max(1, round(share * len(rules))), rules=tuple(rules)),
        st.lists(inner, min_size=1, max_size=4),
        st.floats(0, 1),
    ),
    max_leaves=8,
)


@given(rule=_rules, signers=st.sets(st.sampled_from(sorted(_SIGNERS))), more=st.sampled_from(sorted(_SIGNERS)))
def test_another_signature_never_takes_anything_away(rule: AccessRule, signers: set[str], more: str) -> None:
    """Governance is monotone: what some may do, they may do with one more."""
    session = _policy(update=(rule,))
    try:
        decide_access(session, "update", _signed(*signers), CREATOR)
    except DeniedError:
        return
    decide_access(session, "update", _signed(*signers, more), CREATOR)
    assert signers
