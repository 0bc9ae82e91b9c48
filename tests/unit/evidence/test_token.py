"""Attestation results as tokens: what they say, who believes them, and what is refused."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.compact_jws import sign_compact
from bannock.evidence.ear import Tier, status_of, trust_vector
from bannock.evidence.key_proof import prove_key, require_key
from bannock.evidence.key_set import KeySet, jwk_of, key_of, thumbprint
from bannock.evidence.token import AttestationResult, sign_result, verify_token
from bannock.policy.base64url import base64url
from bannock.policy.claims import Claims
from bannock.values import Measurement

_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_KEY = ec.derive_private_key(7, ec.SECP256R1())
_OTHER = ec.derive_private_key(8, ec.SECP256R1())
_KEYS = KeySet.of(_KEY.public_key())
_SGX = Claims(
    platform="sgx",
    measurement=Measurement(b"m" * 32),
    signer=Measurement(b"s" * 32),
    product_id=7,
    svn=3,
    debug=False,
)
_RESULT = AttestationResult(
    issuer="urn:bannock:cas:K",
    audience="https://rp.example",
    session="a/b~c d",
    service="app",
    digest="ab" * 32,
    issued=_AT,
    expires=_AT + dt.timedelta(hours=1),
    identifier="id",
    nonce="bm9uY2Utbm9uY2U",
    key=_OTHER.public_key(),
    build="bannock-cas 1",
    vector=trust_vector(_SGX, decided=True),
    attester_claims={"mrenclave": "00" * 32},
    verifier_claims={"tcb_status": None},
)


def _verify(text: str, **change: Any) -> AttestationResult:
    return verify_token(text, _KEYS, **{"audience": _RESULT.audience, "at": _AT, **change})


def test_what_is_signed_is_what_is_read() -> None:
    """All of it, with a key that the token names."""
    found = _verify(sign_result(_RESULT, _KEY), issuer=_RESULT.issuer, nonce=_RESULT.nonce)
    assert found.status is Tier.AFFIRMING
    assert found.session == _RESULT.session
    assert found.digest == _RESULT.digest
    assert found.key == _OTHER.public_key()
    assert found.verifier_claims["session_hash"] == _RESULT.digest
    assert replace(found, verifier_claims=_RESULT.verifier_claims, key=_RESULT.key) == _RESULT


def test_claims_are_those_of_the_profile() -> None:
    """Names and forms of draft-ietf-rats-ear-04."""
    claims: Any = _RESULT.to_claims()
    assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert claims["ear_status"] == "affirming"
    assert type(claims["iat"]) is int
    appraisal = claims["submods"]["enclave"]
    assert appraisal["ear_appraisal_policy_ids"] == [f"urn:bannock:session:a/b~c%20d:{'ab' * 32}"]
    assert appraisal["ear_trustworthiness_vector"] == {
        "instance-identity": 2,
        "configuration": 2,
        "executables": 3,
        "hardware": 2,
        "runtime-opaque": 2,
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"audience": "https://other.example"}, "for another relying party"),
        ({"issuer": "urn:bannock:cas:L"}, "of the issuer"),
        ({"nonce": "b3RoZXItbm9uY2U"}, "another nonce"),
        ({"at": _AT + dt.timedelta(hours=1, minutes=1)}, "held until 2026-01-01T01:00:00"),
        ({"at": _AT - dt.timedelta(minutes=2)}, "holds from 2026-01-01T00:00:00"),
    ],
)
def test_a_token_is_for_one_party_and_one_time(change: dict[str, Any], told: str) -> None:
    """Each is refused with its reason."""
    with pytest.raises(EvidenceError, match=told):
        _verify(sign_result(_RESULT, _KEY), **change)


def test_a_token_of_another_key_is_refused() -> None:
    """Whether it says so, or bears the name of the right one."""
    with pytest.raises(EvidenceError, match="not in the key set"):
        _verify(sign_result(_RESULT, _OTHER))
    header = {"typ": "eat+jwt", "kid": thumbprint(jwk_of(_KEY.public_key()))}
    with pytest.raises(EvidenceError, match="does not verify"):
        _verify(sign_compact({**header}, _RESULT.to_claims(), _OTHER))


def _parts(header: dict[str, Any], payload: object, signature: bytes = bytes(64)) -> str:
    return ".".join(base64url(part) for part in (json.dumps(header).encode(), json.dumps(payload).encode(), signature))


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"alg": "none"}, "not signed with ES256"),
        ({"alg": "HS256"}, "not signed with ES256"),
        ({"alg": "ES256", "crit": ["x"]}, "not signed with ES256"),
        ({"alg": "ES256", "typ": "bannock-receipt"}, "is of type 'bannock-receipt'"),
        ({"alg": "ES256", "typ": "eat+jwt"}, "which is not in the key set"),
        ({"alg": "ES256", "typ": "eat+jwt", "kid": ["x"]}, "which is not in the key set"),
    ],
)
def test_a_header_does_not_choose(header: dict[str, Any], told: str) -> None:
    """Neither the algorithm nor the key, and a signature over something else is none."""
    with pytest.raises(EvidenceError, match=told):
        _verify(_parts(header, _RESULT.to_claims()))


def test_a_status_that_is_better_than_its_vector_is_refused() -> None:
    """Relying parties may read the one or the other."""
    claims: Any = _RESULT.to_claims()
    claims["submods"]["enclave"]["ear_trustworthiness_vector"]["hardware"] = 97
    header = {"typ": "eat+jwt", "kid": thumbprint(jwk_of(_KEY.public_key()))}
    with pytest.raises(EvidenceError, match="status of the token"):
        _verify(sign_compact({**header}, claims, _KEY))


def test_every_flipped_bit_is_refused() -> None:
    """In header, payload and signature alike."""
    text = sign_result(replace(_RESULT, attester_claims={}, verifier_claims={}, key=None), _KEY)
    for position in range(0, len(text), 3):
        flipped = chr(ord(text[position]) ^ 1)
        with pytest.raises(EvidenceError):
            _verify(text[:position] + flipped + text[position + 1 :])
        with pytest.raises(EvidenceError):
            _verify(text[:position])


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{86}"))
def test_any_text_is_verified_or_refused(text: str) -> None:
    """Nothing but the one error comes out."""
    with pytest.raises(EvidenceError):
        _verify(text)


_json = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(_RESULT.to_claims())), _json))
def test_any_claims_are_understood_or_refused(change: dict[str, Any]) -> None:
    """Also those of a signer that is trusted."""
    with contextlib.suppress(EvidenceError):
        AttestationResult.from_claims({**_RESULT.to_claims(), **change})


@given(st.binary() | _json.map(lambda value: json.dumps({"keys": [value]}).encode()))
def test_any_key_set_is_understood_or_refused(data: bytes) -> None:
    """A set without a key is none."""
    with pytest.raises(EvidenceError):
        KeySet.from_json(data)


def test_key_sets_travel() -> None:
    """Keys of other kinds and uses beside ours do no harm."""
    document = _KEYS.to_document()
    document["keys"] += [{"kty": "RSA", "n": "AQAB"}, {**jwk_of(_OTHER.public_key()), "use": "enc"}, 7]
    assert KeySet.from_json(json.dumps(document).encode()).keys == _KEYS.keys
    with pytest.raises(EvidenceError):
        KeySet.from_json(json.dumps({"keys": [{**jwk_of(_KEY.public_key()), "x": "AA"}]}).encode())


@pytest.mark.parametrize(
    "key",
    [ec.derive_private_key(7, ec.SECP256R1()), ec.derive_private_key(7, ec.SECP384R1()), Ed25519PrivateKey.generate()],
    ids=["P-256", "P-384", "Ed25519"],
)
def test_a_key_is_proven_on_one_connection(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
    """The proof of another connection is none, and neither is that of another key."""
    public = key.public_key()
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert require_key(encoded, prove_key(key, b"x" * 32), b"x" * 32) == public
    assert key_of(jwk_of(public)) == public
    with pytest.raises(EvidenceError, match="does not prove"):
        require_key(encoded, prove_key(key, b"x" * 32), b"y" * 32)
    with pytest.raises(EvidenceError, match="does not prove"):
        require_key(encoded, prove_key(Ed25519PrivateKey.generate(), b"x" * 32), b"x" * 32)


@given(st.binary(), st.binary())
def test_any_key_and_proof_are_refused(public: bytes, proof: bytes) -> None:
    """Nothing but the one error comes out."""
    with pytest.raises(EvidenceError):
        require_key(public, proof, b"x" * 32)


@pytest.mark.parametrize(
    ("change", "status", "aspect", "value"),
    [
        ({}, Tier.AFFIRMING, "executables", 3),
        ({"debug": True}, Tier.CONTRAINDICATED, "runtime-opaque", 96),
        ({"platform": "sim"}, Tier.CONTRAINDICATED, "hardware", 97),
        ({"platform": "sim", "rehearses": "sgx"}, Tier.CONTRAINDICATED, "instance-identity", 97),
        ({"platform": "tpm"}, Tier.WARNING, "runtime-opaque", 32),
        ({"weaknesses": frozenset({"outdated-tcb"})}, Tier.WARNING, "hardware", 32),
        ({"weaknesses": frozenset({"hyperthreading"})}, Tier.WARNING, "configuration", 32),
        ({"advisories": frozenset({"INTEL-SA-00615"})}, Tier.WARNING, "hardware", 32),
    ],
)
def test_what_a_session_tolerates_is_told(change: dict[str, Any], status: Tier, aspect: str, value: int) -> None:
    """A relying party may be stricter than the session; a simulation never looks like the platform it rehearses."""
    vector = trust_vector(replace(_SGX, **change), decided=True)
    assert vector[aspect] == value
    assert status_of(vector) is status


def test_a_session_that_takes_any_enclave_affirms_none() -> None:
    """Hardware is what it is; what runs on it, nobody has looked at."""
    vector = trust_vector(_SGX, decided=False)
    assert (vector["hardware"], vector["executables"], vector["configuration"]) == (2, 33, 36)
    assert status_of(vector) is Tier.WARNING


@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        ([], Tier.NONE),
        ([2, 31, -2, -32], Tier.AFFIRMING),
        ([2, 32], Tier.WARNING),
        ([2, -33], Tier.WARNING),
        ([2, 95, -96], Tier.WARNING),
        ([2, 32, 96], Tier.CONTRAINDICATED),
        ([-97], Tier.CONTRAINDICATED),
        ([2, 0], Tier.NONE),
        ([2, 1], Tier.NONE),
        ([2, -1], Tier.NONE),
    ],
)
def test_tiers_are_those_of_ar4si(numbers: list[int], status: Tier) -> None:
    """Each number belongs to one tier, and the worst counts."""
    assert status_of({str(place): number for place, number in enumerate(numbers)}) is status
