"""Certificates: what is issued, checked by OpenSSL too, and the formats that they are given in."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.policy.certificates import CertificateBundle, CertificateProfile, is_due, issue, require_pair
from bannock.policy.private_keys import PrivateKey, make_private_key, private_key_der, private_key_pem
from bannock.policy.secret_specs import Endpoint, KeyType
from bannock.policy.template import FORMATS, Placeholder, SecretKind
from bannock.values import Secret

if TYPE_CHECKING:
    from pathlib import Path

_NOW = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
_DAY = dt.timedelta(days=1)


def _issued(
    name: str,
    issuer: CertificateBundle | None = None,
    *,
    authority: bool = False,
    key_type: KeyType = KeyType.P256,
    now: dt.datetime = _NOW,
    **profile: Any,
) -> CertificateBundle:
    key = make_private_key(key_type, os.urandom)
    made = issue(
        CertificateProfile(common_name=name, authority=authority, **profile), key, issuer, random=os.urandom, now=now
    )
    return CertificateBundle(certificate=made.certificate, chain=made.chain, private_key=key)


def _chain(key_type: KeyType = KeyType.P256) -> CertificateBundle:
    root = _issued("root", authority=True, key_type=key_type)
    intermediate = _issued("intermediate", root, authority=True, key_type=key_type)
    return _issued(
        "leaf", intermediate, key_type=key_type, endpoint=Endpoint.SERVER, dns_names=("a.example", "*.b.example")
    )


@pytest.mark.parametrize("key_type", KeyType)
def test_openssl_verifies_a_chain_of_every_key_type(key_type: KeyType, tmp_path: Path) -> None:
    """A server certificate under an intermediate under a root holds for its names, and for no other."""
    leaf = _chain(key_type)
    (tmp_path / "root").write_bytes(CertificateBundle(certificate=leaf.chain[-1]).certificate_pem)
    (tmp_path / "middle").write_bytes(CertificateBundle(certificate=leaf.chain[0]).certificate_pem)
    (tmp_path / "leaf").write_bytes(leaf.certificate_pem)
    command = ["/usr/bin/openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", "1714570000"]
    command += ["-CAfile", str(tmp_path / "root"), "-untrusted", str(tmp_path / "middle")]
    for name, right in (("a.example", True), ("x.b.example", True), ("c.example", False)):
        done = subprocess.run(
            [*command, "-verify_hostname", name, tmp_path / "leaf"], capture_output=True, check=False
        )
        assert (done.returncode == 0) is right, done.stderr


def test_what_a_certificate_says() -> None:
    """Names, use, alternatives and validity are as the session asks."""
    made = _issued(
        "example.com",
        endpoint=Endpoint.CLIENT,
        addresses=("192.168.1.2", "2001:db8::1"),
        dns_names=("example.com",),
        valid_for=90 * _DAY,
    ).certificate
    extensions = made.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert made.subject.rfc4514_string() == "CN=example.com"
    assert names.get_values_for_type(x509.DNSName) == ["example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.2", "2001:db8::1"]
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.not_valid_after_utc == _NOW + 90 * _DAY
    assert made.not_valid_before_utc < _NOW


def test_without_a_duration_it_is_valid_for_ever() -> None:
    """No endpoint, no names, no end: nothing is said of them."""
    made = _issued("plain").certificate
    assert made.not_valid_after_utc.year == 9999
    for extension in (x509.ExtendedKeyUsage, x509.SubjectAlternativeName):
        with pytest.raises(x509.ExtensionNotFound):
            made.extensions.get_extension_for_class(extension)


def test_a_third_of_the_validity_is_when_it_is_made_anew() -> None:
    """Two thirds through and a moment more, it is due; one that is valid for ever never is."""
    made = _issued("short", valid_for=90 * _DAY).certificate
    assert not is_due(made, _NOW + 59 * _DAY)
    assert is_due(made, _NOW + 61 * _DAY)
    assert is_due(made, _NOW + 91 * _DAY)
    assert not is_due(_issued("long").certificate, _NOW + 365000 * _DAY)


def test_nothing_outlives_its_issuer() -> None:
    """An issuer that ends first ends what it issued, and one that has expired issues nothing."""
    root = _issued("root", authority=True, valid_for=10 * _DAY)
    assert _issued("leaf", root, valid_for=90 * _DAY).certificate.not_valid_after_utc == _NOW + 10 * _DAY
    with pytest.raises(InputError, match="has expired at 2024-05-11"):
        _issued("leaf", root, now=_NOW + 11 * _DAY)


def test_who_cannot_issue() -> None:
    """No authority, no private key, or the wrong one: no certificate."""
    root = _issued("root", authority=True)
    with pytest.raises(InputError, match="private key of the certificate is not accessible"):
        _issued("leaf", CertificateBundle(certificate=root.certificate))
    with pytest.raises(InputError, match="not that of a certification authority"):
        _issued("leaf", _issued("no authority"))
    with pytest.raises(InputError, match="another key"):
        _issued("leaf", CertificateBundle(certificate=root.certificate, private_key=_issued("other").private_key))


def _rendered(bundle: CertificateBundle, suffix: str) -> bytes:
    return Placeholder(name="c", format=suffix).render(SecretKind.X509, Secret(bundle.to_pem()))


def test_formats_of_a_certificate() -> None:
    """Each suffix of the language gives what the language says of it."""
    leaf = _chain()
    key = leaf.key()
    issuer, root = (CertificateBundle(certificate=one).certificate_pem for one in leaf.chain)
    for suffix in ("", "crt", "crt:pem", ".crt"):
        assert _rendered(leaf, suffix) == leaf.certificate_pem
    assert x509.load_der_x509_certificate(_rendered(leaf, "crt:der")) == leaf.certificate
    for suffix in ("privatekey", "privatekey:pem", "privatekey:pkcs8:pem", ".key"):
        assert _rendered(leaf, suffix) == private_key_pem(key).reveal()
    for suffix in ("privatekey:der", "privatekey:pkcs8:der"):
        assert _rendered(leaf, suffix) == private_key_der(key).reveal()
    assert _rendered(leaf, "chain") == issuer + root
    assert _rendered(leaf, ".chain") == root + issuer + leaf.certificate_pem
    assert set(FORMATS[SecretKind.X509]) == set(FORMATS[SecretKind.X509_CA])


def test_self_signed_certificates_have_an_empty_chain() -> None:
    """Nothing is above them; the older suffix gives the certificate itself."""
    alone = _issued("alone")
    assert _rendered(alone, "chain") == b""
    assert _rendered(alone, ".chain") == alone.certificate_pem


def test_pkcs12_opens_with_the_empty_password(tmp_path: Path) -> None:
    """Certificate, key and chain are in the archive, for OpenSSL and for us."""
    leaf = _chain()
    archive = _rendered(leaf, "pkcs12-with-private-key")
    read = pkcs12.load_pkcs12(archive, b"")
    assert read.cert is not None
    assert read.cert.certificate == leaf.certificate
    assert {one.certificate for one in read.additional_certs} == set(leaf.chain)
    assert isinstance(read.key, PrivateKey)
    assert private_key_der(read.key) == private_key_der(leaf.key())
    (tmp_path / "archive").write_bytes(archive)
    command = ["/usr/bin/openssl", "pkcs12", "-in", str(tmp_path / "archive"), "-passin", "pass:", "-nodes", "-info"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.count(b"BEGIN CERTIFICATE") == 3
    assert done.stdout.count(b"BEGIN PRIVATE KEY") == 1
    assert b"PBES2" in done.stderr


def test_a_key_that_is_not_accessible_has_no_format() -> None:
    """Of a certificate alone, only what is public can be had; the error says what to do."""
    alone = CertificateBundle(certificate=_issued("c").certificate)
    for suffix in ("privatekey", ".key", "privatekey:der", "pkcs12-with-private-key"):
        with pytest.raises(InputError, match="not accessible") as caught:
            _rendered(alone, suffix)
        assert "exported" in str(caught.value.hint)


def test_a_session_certificate_shows_no_key() -> None:
    """The key of ``session-ca`` stays in CAS: no suffix gives it."""
    assert set(FORMATS[SecretKind.SESSION_CA]) == {"", "crt", "crt:pem", "crt:der", "chain", ".crt", ".chain"}


def test_bundles_read_back() -> None:
    """What is stored is what was made, with and without a key."""
    leaf = _chain()
    again = CertificateBundle.from_pem(leaf.to_pem())
    assert again.to_pem() == leaf.to_pem()
    assert CertificateBundle.from_pem(leaf.certificate_pem).private_key is None


def test_pairs_are_checked() -> None:
    """A certificate belongs to one key."""
    made = _issued("c")
    require_pair(made, made.key())
    with pytest.raises(InputError, match="another key"):
        require_pair(made, ec.generate_private_key(ec.SECP256R1()))


@given(st.binary(max_size=400))
def test_whatever_is_read_raises_only_our_error(data: bytes) -> None:
    """Bytes from outside are a certificate or an InputError."""
    with pytest.raises(InputError):
        CertificateBundle.from_pem(b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n")


def test_too_much_is_refused() -> None:
    """A chain without end is not read."""
    made = _issued("c")
    with pytest.raises(InputError, match="at most 32 certificates, found 33"):
        CertificateBundle.from_pem(made.certificate_pem * 33)
    with pytest.raises(InputError, match="at most 1048576 bytes"):
        CertificateBundle.from_pem(made.certificate_pem + b" " * (1 << 20))
