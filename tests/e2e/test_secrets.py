"""Secrets of every kind in a real program: in its arguments, its environment and its files; renewed and shared."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from bannock.net.tls import Identity
from bannock.policy.signing import sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from tests.e2e.site import Site

pytestmark = pytest.mark.root

_ALICE, _BOB, _EVE = (Identity.generate(name) for name in ("alice", "bob", "eve"))
_ANY: Final = "security: {attestation: {mode: none}}"
#: Prints every file as one line, whatever bytes are in it.
_PRINT: Final = 'for f in /made/*; do echo "${f##*/} $(base64 -w0 $f)"; done; ' + r'printf "%s\n" "$1" "$HEX $CERT"'
_KEYS: Final = ("P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072")
_SESSION: Final = """
name: demo
version: "0.3.11"
services:
  - name: app
    image_name: image
    command: [/bin/sh, -c, '{command}', sh, "--key=$$SCONE::blob:base64url$$"]
    environment: {{HEX: "$$SCONE::blob:hex$$", CERT: "$$SCONE::server:crt|escape(json)$$"}}
images:
  - name: image
    injection_files:
{files}
secrets:
  - {{name: word, kind: ascii, size: 30}}
  - {{name: given, kind: ascii, value: "open sesame"}}
  - {{name: blob, kind: binary, size: 16}}
  - {{name: fragment, kind: config-fragment, value: {{list: [one, two], of: three}}}}
  - {{name: pgp, kind: pgp-key}}
  - {{name: ca-key, kind: private-key}}
  - {{name: ca, kind: x509-ca, private_key: ca-key, common_name: My CA}}
  - {{name: server, kind: x509, private_key: key-P-384, issuer: ca, common_name: example.com, endpoint: server,
      san: ["dns:db.example.com", "ip:192.168.1.2"], valid_for: 90 days}}
{keys}
"""
_FILES: Final = (
    "word",
    "given",
    "blob",
    "blob:base32nopad",
    "fragment",
    "pgp:privatekey:asciiarmored",
    "pgp:publickey:binary",
    "ca",
    "server",
    "server:crt:der",
    "server:privatekey",
    "server:chain",
    "server:pkcs12-with-private-key",
    "server.crt",
    "server.key",
    *(f"key-{name}" for name in _KEYS),
    "key-P-256:der",
)


def _file_name(placeholder: str) -> str:
    return placeholder.replace(":", "_")


def _session() -> str:
    files = "\n".join(f'      - {{path: "/made/{_file_name(one)}", content: "$$SCONE::{one}$$"}}' for one in _FILES)
    keys = "\n".join(f"  - {{name: key-{name}, kind: private-key, key_type: {name}}}" for name in _KEYS)
    return _SESSION.format(command=_PRINT, files=files, keys=keys) + _ANY


def _made(site: Site) -> tuple[dict[str, bytes], str, str]:
    """Run the service; give its files, its argument and its environment."""
    *lines, argument, environment = site.output("demo/app").splitlines()
    return {name: base64.b64decode(text) for name, text in map(str.split, lines)}, argument, environment


def _shape(key: PrivateKeyTypes) -> str:
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.curve.name
        case rsa.RSAPrivateKey():
            return f"RSA-{key.key_size}"
        case Ed25519PrivateKey():
            return "Ed25519"
        case _:
            return "?"


def _spki(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def test_secrets_of_every_kind_arrive(site: Site) -> None:
    """Other tools read each of them, in each of its formats, and those of one secret belong together."""
    site.post(_ALICE, _session())
    files, argument, environment = _made(site)
    blob = files["blob"]
    assert (len(files["word"]), len(blob)) == (30, 16)
    assert files["given"] == b"open sesame"
    assert argument == f"--key={base64.urlsafe_b64encode(blob).decode()}"
    assert base64.b32decode(files["blob_base32nopad"] + b"======") == blob
    digits, _, escaped = environment.partition(" ")
    assert bytes.fromhex(digits) == blob
    assert json.loads(f'"{escaped}"').encode() == files["server"]
    assert json.loads(files["fragment"]) == {"list": ["one", "two"], "of": "three"}
    shapes = [_shape(load_pem_private_key(files[f"key-{name}"], None)) for name in _KEYS]
    assert shapes == ["secp256r1", "secp384r1", "Ed25519", "RSA-2048", "RSA-3072"]
    assert _spki(load_der_private_key(files["key-P-256_der"], None)) == _spki(
        load_pem_private_key(files["key-P-256"], None)
    )
    assert files["pgp_privatekey_asciiarmored"].startswith(b"-----BEGIN PGP PRIVATE KEY BLOCK-----")
    # A public-key packet in the new or in the old format (RFC 9580, section 4.2).
    assert files["pgp_publickey_binary"][0] in (0xC6, 0x98)


def test_certificates_arrive_with_their_keys_and_chains(site: Site) -> None:
    """The certificate, its key, its issuer and the archive of all three are of one another."""
    site.post(_ALICE, _session())
    files, _, _ = _made(site)
    server, ca = x509.load_pem_x509_certificate(files["server"]), x509.load_pem_x509_certificate(files["ca"])
    server.verify_directly_issued_by(ca)
    assert files["server_chain"] == files["ca"]
    assert files["server.crt"] == files["server"]
    assert x509.load_der_x509_certificate(files["server_crt_der"]) == server
    key = load_pem_private_key(files["server_privatekey"], None)
    assert _spki(key) == _spki(server) == _spki(load_pem_private_key(files["key-P-384"], None))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["db.example.com"]
    archive = pkcs12.load_pkcs12(files["server_pkcs12-with-private-key"], b"")
    assert archive.cert is not None
    assert archive.cert.certificate == server
    assert [one.certificate for one in archive.additional_certs] == [ca]


def test_a_certificate_is_renewed_before_it_ends(site: Site) -> None:
    """As long as most of its time is left a start gets the same one; then a new one, of the same key and issuer."""
    site.post(_ALICE, _session())
    first, _, _ = _made(site)
    site.later = dt.timedelta(days=50)
    assert _made(site)[0]["server"] == first["server"]
    site.later = dt.timedelta(days=80)
    files, _, _ = _made(site)
    old, new = (x509.load_pem_x509_certificate(one["server"]) for one in (first, files))
    assert new.serial_number != old.serial_number
    assert new.not_valid_after_utc > old.not_valid_after_utc + dt.timedelta(days=70)
    new.verify_directly_issued_by(x509.load_pem_x509_certificate(first["ca"]))
    assert _spki(new) == _spki(old)
    assert {name for name in first if files[name] != first[name]} == {
        "server",
        "server.crt",
        "server_crt_der",
        "server_pkcs12-with-private-key",
    }
    assert _made(site)[0]["server"] == files["server"]


_SHARED: Final = """
name: {name}
version: "0.3.10"
{predecessor}
services: [{{name: app, command: [/bin/sh, -c, 'echo "$1"', sh, "$$SCONE::{secret}$$"]}}]
{more}
"""


_SECRET: Final = "secrets: [{name: s, kind: ascii, value: %s}]"


def test_a_session_of_two_owners(site: Site) -> None:
    """Both of them read and change it, and nobody else does."""
    keys = ", ".join(str(one.key_hash) for one in (_ALICE, _BOB))
    policy = (
        f"access_policy: {{read: [{keys}], update: [{keys}]}}\nsecrets: [{{name: s, kind: ascii, value: %s}}]\n{_ANY}"
    )
    digest = ""
    for who, value in ((_ALICE, "first"), (_BOB, "second"), (_ALICE, "third")):
        text = _SHARED.format(
            name="demo",
            predecessor=f"predecessor: {digest}" if digest else "",
            secret="s",
            more=policy % value,
        )
        digest = site.post(who, text)
        assert site.output("demo/app") == f"{value}\n"
        assert all(site.ask(one, "GET", "/v1/sessions/demo").status == 200 for one in (_ALICE, _BOB))
    site.refused(_EVE, "GET", "/v1/sessions/demo")
    site.refused(_EVE, "POST", "/v1/sessions", text.replace("third", "fourth"))


def test_a_secret_of_one_owner_is_used_by_another_who_never_sees_it(site: Site) -> None:
    """Only the program of the importing session gets it, and no longer than it is exported."""
    exporter = "secrets: [{{name: s, kind: ascii, size: 12, export: [{{session: {to}}}]}}]"
    digest = site.post(_ALICE, f"name: alices\nversion: '0.3.10'\n{exporter.format(to='bobs')}")
    importer = f"secrets: [{{name: mine, kind: ascii, import: {{session: alices, secret: s}}}}]\n{_ANY}"
    site.post(_BOB, _SHARED.format(name="bobs", predecessor="", secret="mine", more=importer))
    value = site.output("bobs/app").strip()
    assert len(value) == 12
    for who in (_ALICE, _BOB, _EVE):
        for path in (
            "/v1/sessions/alices",
            "/v1/sessions/bobs",
            "/v1/values/session=alices",
            "/v1/values/session=bobs",
        ):
            assert value.encode() not in site.ask(who, "GET", path).body
    site.post(_ALICE, f"name: alices\npredecessor: {digest}\nversion: '0.3.10'\n{exporter.format(to='others')}")
    done = site.run("bobs/app")
    assert (done.returncode, done.stdout) == (30, "")
    assert "session alices does not export a secret s to session bobs" in done.stderr


def test_a_session_that_two_signers_govern(site: Site) -> None:
    """A change is one when both have signed it; what runs is what both have agreed on."""
    one, other = (Ed25519PrivateKey.from_private_bytes(name + bytes(27)) for name in (b"one..", b"other"))
    signers = ", ".join(
        "{signer: "
        + json.dumps(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
        + "}"
        for key in (one, other)
    )
    policy = f"access_policy: {{read: [ANY], update: [{{require-all: [{signers}]}}]}}\n{_SECRET}\n{_ANY}"

    def text(value: str, predecessor: str = "") -> str:
        return _SHARED.format(name="demo", predecessor=predecessor, secret="s", more=policy % value)

    digest = site.post(_EVE, sign(text("first"), one))
    assert site.output("demo/app") == "first\n"
    proposal = text("second", f"predecessor: {digest}")
    for refused in (proposal, sign(proposal, one), sign(proposal, other)):
        site.refused(_EVE, "POST", "/v1/sessions", refused)
        assert site.output("demo/app") == "first\n"
    site.post(_EVE, sign(sign(proposal, one), other))
    assert site.output("demo/app") == "second\n"
