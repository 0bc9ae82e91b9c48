"""Signed and encrypted sessions: what holds, what does not, and that other implementations agree."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OKPKey

from bannock.errors import BannockError, DeniedError, InputError
from bannock.policy.signing import (
    Form,
    add_signature,
    decrypt,
    encrypt,
    form_of,
    load_encryption_key,
    load_signer,
    sign,
    signer_bytes,
    signer_hash,
    signing_message,
    verify,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.policy.signing import SigningKey

_OPENSSL = shutil.which("openssl") or "openssl"
_TEXT = '{"name":"hello","version":"0.3"}'
_ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_P384 = ec.derive_private_key(0xC0FFEE, ec.SECP384R1())
_CAS = ec.derive_private_key(0xCA5, ec.SECP256R1())


def _pem(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("key", [_ED25519, _P384], ids=["Ed25519", "P-384"])
def test_a_signed_session_tells_its_text_its_creator_and_its_signers(key: SigningKey) -> None:
    """The first signer is the creator."""
    found = verify(sign(_TEXT, key))
    assert found.text == _TEXT
    assert found.creator == signer_bytes(key.public_key())
    assert found.signers == {found.creator}


def test_several_sign_one_session() -> None:
    """Each signs the same payload, in any order, and the creator stays the first."""
    found = verify(sign(sign(_TEXT, _P384), _ED25519))
    assert found.creator == signer_bytes(_P384.public_key())
    assert found.signers == {signer_bytes(_P384.public_key()), signer_bytes(_ED25519.public_key())}


def test_nobody_signs_twice() -> None:
    """A board's vote has no doubles."""
    with pytest.raises(InputError, match=r"has a signature of .* already"):
        sign(sign(_TEXT, _ED25519), _ED25519)


@pytest.mark.parametrize("key", [_ED25519, _P384], ids=["Ed25519", "ES384"])
def test_another_implementation_of_jws_verifies_what_we_sign(key: SigningKey) -> None:
    """RFC 7515: each signature stands with its algorithm and key in the protected header."""
    document = json.loads(sign(_TEXT, key))
    algorithm = "Ed25519" if isinstance(key, Ed25519PrivateKey) else "ES384"
    header = json.loads(_decoded(document["signatures"][0]["protected"]))
    assert header["alg"] == algorithm
    public = (OKPKey if algorithm == "Ed25519" else ECKey).import_key(header["jwk"])
    found = jws.deserialize_json(document, public, algorithms=[algorithm])
    assert json.loads(found.payload)["session"] == _TEXT


def test_openssl_signs_the_message_as_the_command_line_reference_shows(tmp_path: Path) -> None:
    """``generate-message-to-be-signed | openssl dgst -sha384 -sign | add-signature``: DER becomes RFC 7518's form."""
    private = tmp_path / "key.pem"
    private.write_bytes(_P384.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signer = load_signer(_pem(_P384))
    signature = subprocess.run(
        [_OPENSSL, "dgst", "-sha384", "-sign", str(private)],
        input=signing_message(_TEXT, signer),
        capture_output=True,
        check=True,
    ).stdout
    assert verify(add_signature(_TEXT, signer, signature)).signers == {signer_bytes(signer)}


def test_openssl_signs_with_ed25519(tmp_path: Path) -> None:
    """The message of an Ed25519 key is signed as it is."""
    private, message = tmp_path / "key.pem", tmp_path / "message"
    private.write_bytes(_ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signer = load_signer(_pem(_ED25519))
    first = sign(_TEXT, _P384)
    message.write_bytes(signing_message(first, signer))
    signature = subprocess.run(
        [_OPENSSL, "pkeyutl", "-sign", "-inkey", str(private), "-rawin", "-in", str(message)],
        capture_output=True,
        check=True,
    ).stdout
    assert len(verify(add_signature(first, signer, signature)).signers) == 2


def test_a_signature_over_something_else_is_refused_when_it_is_added() -> None:
    """Whoever signs another file, or with another key, is told at once."""
    other = _ED25519.sign(signing_message('{"name":"other"}', _ED25519.public_key()))
    with pytest.raises(DeniedError, match=f"not one by {signer_hash(_ED25519.public_key())}"):
        add_signature(_TEXT, _ED25519.public_key(), other)
    with pytest.raises(DeniedError, match="neither in DER nor as two numbers"):
        add_signature(_TEXT, _P384.public_key(), b"\x30\x00")


def test_a_changed_payload_breaks_every_signature() -> None:
    """The text is what was signed, or nothing."""
    document = json.loads(sign(_TEXT, _ED25519))
    payload = json.loads(_decoded(document["payload"]))
    payload["session"] = payload["session"].replace("hello", "other")
    document["payload"] = _encoded(json.dumps(payload).encode())
    with pytest.raises(DeniedError, match=r"signature 1 of 1, of .*, does not hold"):
        verify(json.dumps(document))


def test_one_signature_that_does_not_hold_refuses_the_session() -> None:
    """Nobody is told that a signer has signed who has not, even if others have."""
    document = json.loads(sign(sign(_TEXT, _ED25519), _P384))
    other = json.loads(sign('{"name":"other"}', _P384))
    document["signatures"][1]["signature"] = other["signatures"][0]["signature"]
    with pytest.raises(DeniedError, match=r"signature 2 of 2, of .*, does not hold"):
        verify(json.dumps(document))


def test_the_creator_has_to_have_signed() -> None:
    """Nobody becomes creator by somebody else's payload."""
    document = json.loads(sign(sign(_TEXT, _ED25519), _P384))
    del document["signatures"][0]
    with pytest.raises(DeniedError, match=r"creator of the session, .*, is not among those who signed it"):
        verify(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alg": "none"}, "is Ed25519 or ES384"),
        ({"alg": "HS256"}, "is Ed25519 or ES384"),
        ({"alg": "ES384"}, "jwk of signature 1 of 1 has the members"),
        ({"typ": "JWT"}, "has typ bannock-session"),
        ({"crit": ["b64"], "b64": False}, "has the members alg, jwk, typ and no others"),
        ({"jku": "https://keys.example/"}, "has the members alg, jwk, typ and no others"),
        ({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}}, "is not an Ed25519 key"),
        ({"jwk": {"kty": "OKP", "crv": "X25519", "x": _encoded(bytes(32))}}, "is not an Ed25519 key"),
    ],
)
def test_no_other_algorithm_or_header_is_known(change: dict[str, Any], message: str) -> None:
    """RFC 8725: algorithms are pinned, and what a header asks for beyond that is refused, not ignored."""
    document = json.loads(sign(_TEXT, _ED25519))
    header = json.loads(_decoded(document["signatures"][0]["protected"]))
    document["signatures"][0]["protected"] = _encoded(json.dumps(header | change).encode())
    with pytest.raises(InputError, match=message):
        verify(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [{"header": {"kid": "x"}}, {"extra": 1}],
)
def test_nothing_unprotected_stands_beside_a_signature(change: dict[str, Any]) -> None:
    """An unprotected header is not authenticated, so there is none."""
    document = json.loads(sign(_TEXT, _ED25519))
    document["signatures"][0] |= change
    with pytest.raises(InputError, match="protected, signature and no others"):
        verify(json.dumps(document))


def test_a_signed_session_has_one_form() -> None:
    """Padding, other alphabets and members that come twice are refused, so that nothing is read in two ways."""
    document = sign(_TEXT, _ED25519)
    payload = json.loads(document)["payload"]
    for changed in (
        document.replace(payload, payload + "="),
        document.replace(payload, payload[:-1] + chr(ord(payload[-1]) + 1)),
        document.replace('"payload"', '"payload": "", "payload"', 1),
    ):
        with pytest.raises(InputError):
            verify(changed)


def test_keys_of_other_kinds_do_not_sign() -> None:
    """Ed25519 and P-384, and no others, as the reference says."""
    with pytest.raises(InputError, match="Ed25519 or P-384"):
        load_signer(_pem(_CAS))
    with pytest.raises(InputError, match="Ed25519 or P-384"):
        load_signer(_pem(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(InputError, match="BEGIN PUBLIC KEY"):
        load_signer(b"LtLcbPVddnCkH36ZcRdgYsw4H8xDbYaFZfuefkDc25uq2qdjmM")
    with pytest.raises(InputError, match="Ed25519 or P-384"):
        sign(_TEXT, _CAS)


def test_the_three_forms_are_told_apart() -> None:
    """A session in JSON is YAML as well, and stays one."""
    signed = sign(_TEXT, _ED25519)
    assert form_of("name: hello\nversion: 0.3\n") is Form.PLAIN
    assert form_of(_TEXT) is Form.PLAIN
    assert form_of("[" * 100_000) is Form.PLAIN
    assert form_of(signed) is Form.SIGNED
    assert form_of(encrypt(signed, _CAS.public_key())) is Form.ENCRYPTED


def test_an_encrypted_session_is_read_by_its_cas_alone() -> None:
    """Another CAS is told whose session it is."""
    signed = sign(_TEXT, _ED25519)
    encrypted = encrypt(signed, load_encryption_key(_pem(_CAS)))
    assert "hello" not in encrypted
    assert decrypt(encrypted, _CAS) == signed
    other = ec.derive_private_key(0xBAD, ec.SECP256R1())
    with pytest.raises(DeniedError, match=f"for another CAS: for key '{signer_hash(_CAS.public_key())}'"):
        decrypt(encrypted, other)


def test_another_implementation_of_jwe_reads_what_we_encrypt() -> None:
    """RFC 7516, flattened JSON; joserfc reads JSON by code of its own."""
    document = json.loads(encrypt(_TEXT, _CAS.public_key()))
    found = jwe.decrypt_json(document, ECKey(_CAS, _CAS), algorithms=["ECDH-ES", "A256GCM"])
    assert found.plaintext == _TEXT.encode()


@pytest.mark.parametrize("member", ["iv", "ciphertext", "tag"])
def test_a_changed_encrypted_session_is_refused(member: str) -> None:
    """AES-GCM authenticates it."""
    document = json.loads(encrypt(_TEXT, _CAS.public_key()))
    data = bytearray(_decoded(document[member]))
    data[0] ^= 1
    document[member] = _encoded(bytes(data))
    with pytest.raises(DeniedError, match="was changed"):
        decrypt(json.dumps(document), _CAS)


@pytest.mark.parametrize(
    "change",
    [
        {"zip": "DEF"},
        {"alg": "dir"},
        {"enc": "A128CBC-HS256"},
        {"epk": {"kty": "EC", "crv": "P-256", "x": _encoded(bytes(32)), "y": _encoded(bytes(32))}},
        {"epk": "none"},
    ],
)
def test_no_other_encryption_is_known(change: dict[str, Any]) -> None:
    """No compression, no other algorithm, and no point that is not on the curve."""
    document = json.loads(encrypt(_TEXT, _CAS.public_key()))
    header = json.loads(_decoded(document["protected"]))
    document["protected"] = _encoded(json.dumps(header | change).encode())
    with pytest.raises(InputError):
        decrypt(json.dumps(document), _CAS)


def test_encryption_keys_are_of_one_kind() -> None:
    """P-256, as a CAS shows it."""
    with pytest.raises(InputError, match="P-256 public key"):
        load_encryption_key(_pem(_P384))
    with pytest.raises(InputError, match="P-256 public key"):
        load_encryption_key(b"nothing")


def test_an_encrypted_session_is_not_signed() -> None:
    """One signs first, so that the CAS knows the signers, and encrypts then."""
    with pytest.raises(InputError, match="signed first"):
        sign(encrypt(_TEXT, _CAS.public_key()), _ED25519)


def test_nothing_shows_the_text() -> None:
    """A session may hold secrets."""
    assert "hello" not in repr(verify(sign(_TEXT, _ED25519)))


_SIGNED = sign(_TEXT, _ED25519)
_ENCRYPTED = encrypt(_SIGNED, _CAS.public_key())

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_is_a_text_or_an_input_error(text: str) -> None:
    """Whatever comes in, nothing but our errors comes out."""
    assert form_of(text) in set(Form)
    for call in (verify, lambda item: decrypt(item, _CAS)):
        with pytest.raises(BannockError):
            call(text)


@settings(deadline=None)
@given(data=st.data())
def test_any_member_of_another_kind_is_refused(data: st.DataObject) -> None:
    """Members of any JSON value: our errors alone."""
    original = data.draw(st.sampled_from([_SIGNED, _ENCRYPTED]))
    document = json.loads(original)
    name = data.draw(st.sampled_from(sorted(document)))
    document[name] = data.draw(_json)
    call = verify if original is _SIGNED else (lambda item: decrypt(item, _CAS))
    with pytest.raises(BannockError):
        call(json.dumps(document))


@settings(deadline=None, max_examples=300)
@given(position=st.integers(0, 8 * len(_SIGNED) - 1))
def test_every_flipped_bit_is_refused_or_says_the_same(position: int) -> None:
    """No bit can change what a signed session says; white space between its members may."""
    raw = bytearray(_SIGNED.encode())
    raw[position // 8] ^= 1 << position % 8
    try:
        found = verify(raw.decode("latin-1"))
    except BannockError:
        return
    assert json.loads(raw) == json.loads(_SIGNED)
    assert found == verify(_SIGNED)
