"""Access policies as documents write them: clients, signers, secrets, and the rules of governance."""

from __future__ import annotations

from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bannock.policy import parse_session
from bannock.policy.rules import AccessPolicy, CertificateHash, Keyword, SecretRule, Signer, Threshold
from bannock.policy.session import Section
from tests.unit.policy.documents import MEASUREMENT, issues_of, only_issue

_HEAD: Final = 'name: a\nversion: "{version}"\naccess_policy:\n'
_SECRETS: Final = """
secrets:
  - {name: one, kind: ascii, value: CREATOR}
  - {name: several, kind: config-fragment, value: [CREATOR]}
  - {name: open, import: {session: b}}
  - {name: raw, kind: binary}
"""


def _signer(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> tuple[str, Signer]:
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return '"' + pem.decode("ascii").replace("\n", "\\n") + '"', Signer(der)


_FIRST: Final = _signer(ed25519.Ed25519PrivateKey.from_private_bytes(b"1" * 32))
_SECOND: Final = _signer(ec.derive_private_key(7, ec.SECP384R1()))
#: Public keys of signers in PEM.
SIGNERS: Final = tuple(
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode("ascii")
    for number in range(5)
)
_UNFIT: Final = _signer(ec.derive_private_key(7, ec.SECP256R1()))


def _text(policy: str, version: str = "0.3.11") -> str:
    return _HEAD.format(version=version) + policy + _SECRETS


def _policy(policy: str, version: str = "0.3.11") -> AccessPolicy:
    return parse_session(_text(policy, version)).access_policy


def test_signers() -> None:
    """A signer is a public key, Ed25519 or P-384."""
    policy = _policy(f"  update:\n    - CREATOR\n    - signer: {_FIRST[0]}\n    - signer: {_SECOND[0]}")
    assert policy.update == (Keyword.CREATOR, _FIRST[1], _SECOND[1])


def test_rules_of_governance_nest() -> None:
    """All of a list or some of it, to any depth; one rule needs no list around it."""
    policy = _policy(
        f"""
  read: NONE
  update:
    require-at-least-1:
      - signer: {_FIRST[0]}
      - require-all:
          - require-at-least-2: [CREATOR, {{signer: {_SECOND[0]}}}, $$SCONE::one$$]
          - signer: {_FIRST[0]}
  create_sessions: [{{require-all: [CREATOR]}}, CREATOR]
"""
    )
    some = Threshold(required=2, rules=(Keyword.CREATOR, _SECOND[1], SecretRule("one")))
    assert policy.read == (Keyword.NONE,)
    assert policy.update == (Threshold(required=1, rules=(_FIRST[1], Threshold(required=2, rules=(some, _FIRST[1])))),)
    assert policy.create_sessions == (Threshold(required=1, rules=(Keyword.CREATOR,)), Keyword.CREATOR)


def test_hashes_of_certificates_are_of_version_0_2() -> None:
    """Later ones name clients by their keys, and say how to get those."""
    assert _policy(f"  read: [{MEASUREMENT.upper()}]", "0.2").read == (CertificateHash(MEASUREMENT),)
    issue = only_issue(_text(f"  read: [{MEASUREMENT}]", "0.3"))
    assert "of language version 0.2" in issue.message
    assert "show-key-hash" in str(issue.hint)


@pytest.mark.parametrize(
    ("policy", "rules", "unbound"),
    [
        ("  read: [CREATOR, $$SCONE::one$$]", (Keyword.CREATOR, SecretRule("one")), False),
        ("  read: $$SCONE::one$$", (SecretRule("one"),), False),
        ("  read: [$$SCONE::open$$]", (SecretRule("open"),), False),
        # A secret of another session may be more than one client where it stands for the whole list.
        ("  read: $$SCONE::open$$", (SecretRule("open"),), True),
        ("  read: $$SCONE::several$$", (SecretRule("several"),), True),
        ("  read: [$$SCONE::several$$]", (SecretRule("several"),), True),
        ("  $$SCONE::one$$", (SecretRule("one"),), True),
    ],
)
def test_secrets_stand_for_clients(policy: str, rules: tuple[object, ...], unbound: bool) -> None:  # noqa: FBT001
    """One that may be several clients, or the whole policy, has to be put in before anything is decided."""
    session = parse_session(_text(policy))
    assert session.access_policy.read == rules
    assert (Section.ACCESS_POLICY in session.unbound) is unbound


@pytest.mark.parametrize("name", ["nobody", "raw"])
def test_a_secret_that_can_let_nobody_in_is_a_warning(name: str) -> None:
    """The language ignores it, so the document stays valid, and whoever wrote it is told."""
    (warning,) = parse_session(_text(f"  read: [CREATOR, $$SCONE::{name}$$]")).warnings
    assert warning.path == "access_policy.read[1]"
    assert "nobody" in warning.message


@pytest.mark.parametrize(
    ("policy", "path", "message"),
    [
        ("  raed: ANY", "access_policy.raed", "unknown key 'raed', allowed: read, update, create_sessions"),
        ("  [ANY]", "access_policy", "expected a mapping, found a list"),
        ("  read: CREATER", "access_policy.read", "found 'CREATER'"),
        ("  update: [[CREATOR]]", "access_policy.update[0]", "found a list"),
        ("  update: {}", "access_policy.update", "found a mapping"),
        ("  update: [{signer: x, require-all: []}]", "access_policy.update[0]", "found a mapping"),
        ("  update: [{sginer: x}]", "access_policy.update[0].sginer", "allowed: signer, require-all"),
        ("  update: [{require-most: [CREATOR]}]", "access_policy.update[0].require-most", "unknown key"),
        ("  update: [{signer: x}]", "access_policy.update[0].signer", "the public key of a signer in PEM"),
        (f"  update: [{{signer: {_UNFIT[0]}}}]", "access_policy.update[0].signer", "Ed25519 or P-384"),
        (f"  read: [{{signer: {_FIRST[0]}}}]", "access_policy.read[0].signer", "cannot be in read"),
        ("  read: {require-all: [CREATOR]}", "access_policy.read.require-all", "cannot be in read"),
        ("  update: {require-all: []}", "access_policy.update.require-all", "expected a list of rules"),
        ("  update: {require-all: CREATOR}", "access_policy.update.require-all", "expected a list of rules"),
        ("  update: {require-all: [ANY]}", "access_policy.update.require-all[0]", "cannot be part of a rule"),
        ("  update: {require-at-least-2: [CREATOR]}", "access_policy.update.require-at-least-2", "from 1 to 1"),
        ("  update: {require-at-least-0: [CREATOR]}", "access_policy.update.require-at-least-0", "from 1 to 1"),
        (
            "  update: {require-at-least-2: [CREATOR, CREATOR]}",
            "access_policy.update.require-at-least-2[1]",
            "would count twice",
        ),
        ("  read: $$SCONE::one$$x", "access_policy.read", "expected $$SCONE::NAME$$ alone"),
        ("  read: ['$$SCONE::one']", "access_policy.read[0]", "with its closing $$"),
    ],
)
def test_each_defect_is_named(policy: str, path: str, message: str) -> None:
    """One defect gives one issue at its place."""
    issue = only_issue(_text(policy))
    assert issue.path == path
    assert message in issue.message


def test_defects_of_nested_rules_come_at_once() -> None:
    """However deep they are."""
    policy = "  update: {require-all: [{require-at-least-2: [CREATOR, X]}, {signer: y}]}"
    assert [issue.path for issue in issues_of(_text(policy))] == [
        "access_policy.update.require-all[0].require-at-least-2[1]",
        "access_policy.update.require-all[1].signer",
    ]
