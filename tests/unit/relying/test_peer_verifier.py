"""Certificates with evidence: whom a verifier believes, and every attack that is refused."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.evidence.attester import KeyAttester, key_binding
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.ra_tls import RaTlsCertificate, RaTlsStatement
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.net.tls import Identity
from bannock.relying import (
    ByEvidence,
    ByToken,
    DeniedError,
    EnclaveExpectations,
    EvidenceError,
    KeyHash,
    MachineRule,
    Measurement,
    PeerVerifier,
    Tier,
)
from tests.unit.relying.peers import AT, CAS, KEYS, PROGRAM, Made, key, key_hash, token

_BY_TOKEN = ByToken(keys=KEYS, session="demo", service="app")
_ENCLAVE = EnclaveExpectations(mrenclaves=frozenset({PROGRAM}), allow_simulation=True)
_BY_EVIDENCE = ByEvidence(enclave=_ENCLAVE, cas=CAS, session="demo", service="app")


def _verify(expected: ByToken | ByEvidence, certificate: bytes, at: dt.datetime = AT) -> Any:
    return PeerVerifier(expected, clock=lambda: at).verify(certificate)


def test_a_peer_is_believed_by_its_token() -> None:
    """The token names the key that the handshake proves."""
    peer = _verify(_BY_TOKEN, Made(token=token(key(1))).der())
    assert (peer.session, peer.service, peer.cas) == ("demo", "app", None)
    assert peer.result.status is Tier.AFFIRMING


def test_a_peer_is_believed_by_its_evidence() -> None:
    """Without any word of a CAS; what protects it is told."""
    peer = _verify(_BY_EVIDENCE, Made().der())
    assert peer.cas == CAS
    assert peer.claims.measurement == PROGRAM
    assert "platform sim" in peer.warnings[0]
    anything = ByEvidence(enclave=_ENCLAVE, cas=None, session=None, service=None)
    assert _verify(anything, Made().der()).session == "demo"


def test_the_token_of_somebody_else_is_refused() -> None:
    """Whoever got hold of it, in a certificate of another service, has not its key."""
    with pytest.raises(EvidenceError, match="for another key than the certificate's"):
        _verify(_BY_TOKEN, Made(key=key(2), token=token(key(1))).der())
    with pytest.raises(EvidenceError, match="for another key than the certificate's"):
        _verify(_BY_TOKEN, Made(token=token(None)).der())


def test_the_evidence_of_somebody_else_is_refused() -> None:
    """A certificate of a key of the attacker's, with the statement and evidence of the victim's."""
    victim = Made()
    with pytest.raises(EvidenceError, match="for another key than that of the certificate"):
        _verify(_BY_EVIDENCE, Made(key=key(2), statement=_statement(1)).der())
    # And one that says the attacker's key, with evidence that is bound to the victim's.
    with pytest.raises(EvidenceError, match="made for another attestation"):
        _verify(_BY_EVIDENCE, Made(key=key(2), bound=_statement(1).report_data()).der())
    assert _verify(_BY_EVIDENCE, victim.der())


def _statement(number: int, **change: Any) -> RaTlsStatement:
    return RaTlsStatement(**{"key": key_hash(key(number)), "cas": CAS, "session": "demo", "service": "app", **change})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cas": KeyHash(b"e" * 32)}, "the CAS that configured the peer"),
        ({"session": "evil"}, "the session of the peer is evil, expected demo"),
        ({"service": "other"}, "the service of the peer is other, expected app"),
    ],
)
def test_the_same_program_that_others_configured_is_refused(change: dict[str, Any], told: str) -> None:
    """A generic program does what its session says, and anybody can run a CAS with a session."""
    with pytest.raises(DeniedError) as caught:
        _verify(_BY_EVIDENCE, Made(statement=_statement(1, **change)).der())
    assert caught.value.reasons[0].startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"audience": "https://other.example"}, "for another relying party"),
        ({"expires": AT - dt.timedelta(hours=1), "issued": AT - dt.timedelta(hours=2)}, "held until"),
        ({"issued": AT + dt.timedelta(hours=1), "expires": AT + dt.timedelta(hours=2)}, "holds from"),
        ({"signer": key(5)}, "not in the key set"),
    ],
)
def test_tokens_that_do_not_hold_are_refused(change: dict[str, Any], told: str) -> None:
    """Expired, for another audience, of another CAS."""
    with pytest.raises(EvidenceError, match=told):
        _verify(_BY_TOKEN, Made(token=token(key(1), **change)).der())


def test_a_service_that_is_another_one_is_told_so_at_once() -> None:
    """All that differs, with what was found."""
    weak = {"instance-identity": 97, "hardware": 97}
    made = Made(token=token(key(1), session="other", service="db", vector=weak))
    with pytest.raises(DeniedError) as caught:
        _verify(ByToken(keys=KEYS, session="demo", service="app", session_hash="00" * 32), made.der())
    assert list(caught.value.reasons) == [
        "the session of the peer is 'other', expected 'demo'",
        "the service of the peer is 'db', expected 'app'",
        f"the hash of its session is '{'ab' * 32}', expected '{'00' * 32}'",
        "the CAS finds the peer contraindicated, expected affirming: hardware 97, instance-identity 97",
    ]
    accepting = ByToken(keys=KEYS, session="other", service="db", statuses=frozenset({Tier.CONTRAINDICATED}))
    assert _verify(accepting, made.der())


def test_simulation_is_refused_unless_accepted() -> None:
    """And so is other software, both at once."""
    expected = EnclaveExpectations(mrenclaves=frozenset({Measurement(b"x" * 32)}))
    with pytest.raises(DeniedError) as caught:
        _verify(ByEvidence(enclave=expected, cas=CAS, session=None, service=None), Made().der())
    assert [reason.partition(":")[0] for reason in caught.value.reasons] == [
        "Enclave hash does not match expectation",
        "The peer runs in simulation, in which nothing protects it",
    ]


@pytest.mark.parametrize("knobs", [Rehearsal(), Rehearsal(expired_collateral=True), Rehearsal(revoked=True)])
def test_a_machine_is_verified_to_its_vendor(knobs: Rehearsal) -> None:
    """With collateral that comes in the certificate; what is expired or revoked is refused."""
    vendor = IntelVendor(lambda length: b"r" * length, AT, knobs)

    def quoted(public: bytes) -> tuple[TdxQuote, bytes]:
        quote = vendor.tdx_quote(key_binding(public), {"mrtd": "ab" * 48})
        return TdxQuote(key=public, quote=quote), vendor.endorsements().to_json()

    certificate = Made(attester=KeyAttester(Ed25519PrivateKey.generate(), quoted)).der()
    rule = MachineRule(platform="tdx", values={"mrtd": ("ab" * 48,)})
    enclave = EnclaveExpectations(mrenclaves=frozenset({PROGRAM}), machines=(rule,), allow_simulation=True)
    expected = ByEvidence(enclave=enclave, cas=CAS, session="demo", service="app")
    if knobs == Rehearsal():
        assert _verify(expected, certificate).claims.rehearses == "tdx"
    else:
        with pytest.raises(EvidenceError):
            _verify(expected, certificate)


@pytest.mark.parametrize("hours", [-1, 25])
def test_a_certificate_has_its_time(hours: int) -> None:
    """Before and after it, it is refused."""
    with pytest.raises(EvidenceError, match="the certificate holds from"):
        _verify(_BY_EVIDENCE, Made().der(), AT + dt.timedelta(hours=hours))


@pytest.mark.parametrize("expected", [_BY_TOKEN, _BY_EVIDENCE], ids=["token", "evidence"])
def test_certificates_without_evidence_are_refused(expected: ByToken | ByEvidence) -> None:
    """None at all, one of anybody, and one without a token where that is relied on."""
    plain = Identity.generate("peer").certificate.public_bytes(Encoding.DER)
    for certificate, told in ((None, "has shown no certificate"), (plain, "carries no evidence")):
        with pytest.raises(EvidenceError, match=told):
            PeerVerifier(expected).verify(certificate)
    if expected is _BY_TOKEN:
        with pytest.raises(EvidenceError, match="carries no attestation result"):
            _verify(expected, Made().der())


def test_every_flipped_byte_is_refused() -> None:
    """Of the certificate, of the extension, of its signature, whatever a verifier would look at."""
    certificate = Made(token=token(key(1))).der()
    assert _verify(_BY_EVIDENCE, certificate)
    for position in range(len(certificate)):
        flipped = bytearray(certificate)
        flipped[position] ^= 1 << position % 8
        with pytest.raises(EvidenceError):
            RaTlsCertificate.from_der(bytes(flipped))
        with pytest.raises(EvidenceError):
            RaTlsCertificate.from_der(certificate[:position])


def test_every_flipped_bit_of_what_is_around_the_contents_is_refused() -> None:
    """Of version and serial number, and of the lengths of the signature."""
    certificate = Made().der()
    for position in (*range(40), *range(len(certificate) - 90, len(certificate))):
        for bit in range(8):
            flipped = bytearray(certificate)
            flipped[position] ^= 1 << bit
            with pytest.raises(EvidenceError):
                RaTlsCertificate.from_der(bytes(flipped))


@given(st.binary())
def test_any_bytes_are_refused(data: bytes) -> None:
    """Nothing but the one error comes out."""
    with pytest.raises(EvidenceError):
        RaTlsCertificate.from_der(data)


def _with_extension(value: bytes) -> bytes:
    private = key(1)
    name = x509.Name([])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(AT)
        .not_valid_after(AT + dt.timedelta(days=1))
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.35"), value), critical=False)
        .sign(private, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


_json = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["application/eat+jwt", "e30"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["statement", "evidence"]), inner),
    max_leaves=5,
)


@settings(max_examples=50)
@given(
    st.binary(max_size=100)
    | st.dictionaries(st.sampled_from(["evidence", "result", "x"]), _json).map(
        lambda found: json.dumps({"__cmwc_t": "tag:bannock,2026:ra-tls", **found}).encode()
    )
)
def test_any_extension_is_refused(content: bytes) -> None:
    """Whatever is signed by the certificate's key."""
    for value in (content, bytes([0x0C, len(content)]) + content if len(content) < 128 else content):
        with pytest.raises(EvidenceError):
            RaTlsCertificate.from_der(_with_extension(value))
