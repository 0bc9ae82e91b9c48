"""Certificates of a session: who signs them, what they are called, and when they are made anew."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from bannock.errors import BannockError, DeniedError, InputError
from bannock.policy.certificates import CertificateBundle
from bannock.policy.certification import Certification
from bannock.policy.private_keys import private_key_der, private_key_pem
from bannock.policy.references import SessionReference
from bannock.policy.secret_specs import (
    Endpoint,
    ExplicitCertificate,
    ExplicitValue,
    GeneratedCertificate,
    GeneratedPrivateKey,
    ImportedValue,
    SecretSource,
    SecretSpec,
    SessionCertificate,
)
from bannock.policy.secret_values import SecretValue, SecretValues, generate_secrets
from bannock.policy.session import Session
from bannock.policy.template import SecretKind
from bannock.values import Secret
from tests.unit.policy.documents import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY = dt.timedelta(days=1)


def _key(name: str) -> SecretSpec:
    return SecretSpec(name=name, kind=SecretKind.PRIVATE_KEY, source=GeneratedPrivateKey())


def _spec(name: str, source: SecretSource, kind: SecretKind = SecretKind.X509) -> SecretSpec:
    return SecretSpec(name=name, kind=kind, source=source)


def _authority(name: str, source: SecretSource) -> SecretSpec:
    return _spec(name, source, SecretKind.X509_CA)


_IMPORTED = ImportedValue(session=SessionReference(name="other"), secret="other")

#: A root, an intermediate, and a server certificate, each with a key of its own.
_PKI = (
    _key("root-key"),
    _key("middle-key"),
    _key("leaf-key"),
    _authority("root", GeneratedCertificate(private_key="root-key", common_name="The root", valid_for=900 * _DAY)),
    _authority("middle", GeneratedCertificate(private_key="middle-key", issuer="root", valid_for=300 * _DAY)),
    _spec(
        "leaf",
        GeneratedCertificate(
            private_key="leaf-key",
            issuer="middle",
            endpoint=Endpoint.SERVER,
            dns_names=("example.com", "www.example.com"),
            valid_for=90 * _DAY,
        ),
    ),
)


def _session(*specs: SecretSpec) -> Session:
    return Session(name="ns/tested", version="0.3.10", secrets=specs, digest="00" * 32)


def _values(session: Session) -> SecretValues:
    return generate_secrets(session, None, os.urandom, now=NOW)


class _Made:
    """The certificates of a session at a time."""

    def __init__(
        self,
        session: Session,
        values: SecretValues,
        now: dt.datetime = NOW,
        imported: Mapping[str, SecretValue] | None = None,
    ) -> None:
        def find(name: str) -> SecretValue:
            if name not in (imported or {}):
                raise DeniedError(f"{name} is not exported")
            return (imported or {})[name]

        self.certification = Certification(session, values, find, random=os.urandom, now=now)
        self.missing: dict[str, BannockError] = self.certification.make_all()

    def __getitem__(self, name: str) -> CertificateBundle:
        return self.certification.bundle(name)

    @property
    def values(self) -> SecretValues:
        return self.certification.values


def test_a_chain_of_issuers() -> None:
    """Each is signed by its issuer, and its chain leads up to the root."""
    session = _session(*_PKI)
    made = _Made(session, _values(session))
    assert made.missing == {}
    made["middle"].certificate.verify_directly_issued_by(made["root"].certificate)
    made["leaf"].certificate.verify_directly_issued_by(made["middle"].certificate)
    assert made["leaf"].chain == (made["middle"].certificate, made["root"].certificate)
    assert made["root"].chain == ()
    key = made.values.secrets["leaf-key"].value
    assert private_key_der(made["leaf"].key()) == key


def test_the_order_in_the_document_does_not_matter() -> None:
    """An issuer may stand below what it signs."""
    session = _session(*reversed(_PKI))
    assert _Made(session, _values(session)).missing == {}


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (GeneratedCertificate(private_key="k", common_name="Given", dns_names=("a.example",)), "Given"),
        (GeneratedCertificate(private_key="k", dns_names=("a.example", "b.example")), "a.example"),
        (GeneratedCertificate(private_key="k"), "the-secret"),
        (GeneratedCertificate(private_key="k", dns_names=("a." * 40 + "example",)), "the-secret"),
    ],
)
def test_common_names(asked: GeneratedCertificate, name: str) -> None:
    """The name given; or the first DNS name; or the name of the secret, which a name has to have room for."""
    session = _session(_key("k"), _spec("the-secret", asked))
    assert _Made(session, _values(session))["the-secret"].certificate.subject.rfc4514_string() == f"CN={name}"


def test_a_name_that_no_certificate_can_hold() -> None:
    """A common name has 64 characters at most; the error says what is wrong."""
    session = _session(_key("k"), _spec("c", GeneratedCertificate(private_key="k", common_name="n" * 65)))
    error = _Made(session, _values(session)).missing["c"]
    assert isinstance(error, InputError)
    assert "64" in error.message


def test_the_key_of_a_certificate_is_not_stored_twice() -> None:
    """A certificate that names its key is stored without it."""
    session = _session(*_PKI)
    stored = _Made(session, _values(session)).values.secrets["leaf"].value.reveal()
    assert b"PRIVATE KEY" not in stored


def test_nothing_is_made_anew_before_its_time() -> None:
    """What holds is kept, to the byte."""
    session = _session(*_PKI)
    first = _Made(session, _values(session)).values
    assert _Made(session, first, NOW + 59 * _DAY).values is first


def test_a_certificate_is_made_anew_when_less_than_a_third_is_left() -> None:
    """Only that one, with the same key; its issuers stay."""
    session = _session(*_PKI)
    first = _Made(session, _values(session))
    later = _Made(session, first.values, NOW + 61 * _DAY)
    assert later["leaf"].certificate.not_valid_after_utc == NOW + 151 * _DAY
    assert later["leaf"].public_key_der == first["leaf"].public_key_der
    assert later["middle"].certificate == first["middle"].certificate


def test_what_a_renewed_issuer_signed_is_made_anew() -> None:
    """A chain is always one that holds together."""
    session = _session(*_PKI)
    first = _Made(session, _values(session))
    later = _Made(session, first.values, NOW + 201 * _DAY)
    assert later["root"].certificate == first["root"].certificate
    assert later["middle"].certificate != first["middle"].certificate
    later["leaf"].certificate.verify_directly_issued_by(later["middle"].certificate)
    assert later["leaf"].chain == (later["middle"].certificate, later["root"].certificate)


def test_an_update_makes_certificates_anew() -> None:
    """Certificates are never kept, even where nothing of them was changed."""
    session = _session(*_PKI)
    first = _Made(session, _values(session))
    second = _Made(session, generate_secrets(session, first.values, os.urandom, now=NOW))
    for name in ("root", "middle", "leaf"):
        assert second[name].certificate != first[name].certificate


def _given(bundle: CertificateBundle, **parts: str) -> SecretSource:
    return ExplicitCertificate(value=Secret(bundle.certificate_pem), **parts)


def test_certificates_of_the_document() -> None:
    """A given authority signs if its key is given too; a given certificate has the chain and key that it names."""
    session = _session(*_PKI)
    outside = _Made(session, _values(session))
    key = ExplicitValue(value=private_key_pem(outside["middle"].key()))
    own = _session(
        _spec("authority-key", key, SecretKind.PRIVATE_KEY),
        _authority("top", _given(outside["root"])),
        _authority("authority", _given(outside["middle"], private_key="authority-key", issuer="top")),
        _key("k"),
        _spec("leaf", GeneratedCertificate(private_key="k", issuer="authority")),
    )
    made = _Made(own, _values(own))
    assert made.missing == {}
    assert made["leaf"].chain == (outside["middle"].certificate, outside["root"].certificate)
    assert made["authority"].certificate == outside["middle"].certificate


def test_a_given_certificate_and_the_wrong_key() -> None:
    """A key that a certificate is not for is an error, not a service that does not start its TLS."""
    session = _session(*_PKI)
    outside = _Made(session, _values(session))
    own = _session(_key("k"), _spec("c", _given(outside["leaf"], private_key="k")))
    with pytest.raises(InputError, match="another key"):
        _ = _Made(own, _values(own))["c"]


def test_an_issuer_without_its_key_signs_nothing() -> None:
    """Access to the private key of the issuer is needed."""
    session = _session(*_PKI)
    outside = _Made(session, _values(session))
    own = _session(
        _key("k"),
        _authority("authority", _given(outside["root"])),
        _spec("c", GeneratedCertificate(private_key="k", issuer="authority")),
    )
    with pytest.raises(InputError, match="private key of the certificate is not accessible"):
        _ = _Made(own, _values(own))["c"]


def test_what_is_imported_and_not_exported_yet_is_made_later() -> None:
    """Until the issuer can be had, the certificate is missing; then it is made, and made anew with another issuer."""
    outside = _session(*_PKI)
    other = _Made(outside, _values(outside))
    session = _session(
        _key("k"),
        SecretSpec(name="authority", kind=None, source=_IMPORTED),
        _spec("c", GeneratedCertificate(private_key="k", issuer="authority")),
    )
    values = _values(session)
    first = _Made(session, values)
    assert isinstance(first.missing["c"], DeniedError)
    assert first.values is values
    imported = {
        name: SecretValue(kind=SecretKind.X509_CA, value=Secret(other[name].to_pem()), generated=False)
        for name in ("middle", "root")
    }
    second = _Made(session, values, imported={"authority": imported["middle"]})
    assert second["c"].chain == (other["middle"].certificate, other["root"].certificate)
    third = _Made(session, second.values, imported={"authority": imported["root"]})
    assert third["c"].chain == (other["root"].certificate,)
    assert third.values is not second.values


def test_an_imported_key_that_was_changed() -> None:
    """A certificate is for the key that its session has now."""
    keys = _session(_key("first"), _key("second"))
    values = _values(keys)
    session = _session(
        SecretSpec(name="k", kind=None, source=_IMPORTED), _spec("c", GeneratedCertificate(private_key="k"))
    )
    first = _Made(session, SecretValues(), imported={"k": values.secrets["first"]})
    second = _Made(session, first.values, imported={"k": values.secrets["second"]})
    assert private_key_der(second["c"].key()) == values.secrets["second"].value
    assert second["c"].certificate != first["c"].certificate


def test_wrong_kinds() -> None:
    """A key is a private key, an issuer a certificate."""
    session = _session(*_PKI)
    values = _values(session)
    made = _Made(session, values)
    bad = _session(*_PKI, _spec("c", GeneratedCertificate(private_key="leaf")))
    with pytest.raises(InputError, match="leaf is of kind x509, expected a private key"):
        _ = _Made(bad, made.values)["c"]
    imported = SecretSpec(name="i", kind=None, source=_IMPORTED)
    bad = _session(_key("k"), imported, _spec("c", GeneratedCertificate(private_key="k", issuer="i")))
    with pytest.raises(InputError, match="i is of kind private-key, expected a certificate"):
        _ = _Made(bad, _values(bad), imported={"i": values.secrets["leaf-key"]})["c"]


def test_issuers_in_a_circle() -> None:
    """No certificate comes of it, and no endless loop."""
    session = _session(
        _key("k"),
        _authority("a", GeneratedCertificate(private_key="k", issuer="b")),
        _authority("b", GeneratedCertificate(private_key="k", issuer="a")),
    )
    missing = _Made(session, _values(session)).missing
    assert {name: "form a circle" in str(error) for name, error in missing.items()} == {"a": True, "b": True}


def test_language_0_2_signs_with_the_certificate_of_the_session() -> None:
    """Certificates without private_key have their key with them, and one authority, whose key nobody gets."""
    session = _session(
        _spec("leaf", GeneratedCertificate(private_key=None)),
        _authority("middle", GeneratedCertificate(private_key=None)),
        _spec("authority", SessionCertificate(), SecretKind.SESSION_CA),
    )
    made = _Made(session, _values(session))
    assert made["authority"].private_key is None
    assert made["authority"].certificate.subject.rfc4514_string() == "CN=ns/tested"
    for name in ("leaf", "middle"):
        made[name].certificate.verify_directly_issued_by(made["authority"].certificate)
        assert CertificateBundle.from_pem(made.values.secrets[name].value.reveal()).key()
    assert _Made(session, made.values).values is made.values


def test_the_certificate_of_a_session_is_kept_over_updates() -> None:
    """Others trust what it signs; what it signed is made anew."""
    session = _session(
        _spec("leaf", GeneratedCertificate(private_key=None)),
        _spec("authority", SessionCertificate(), SecretKind.SESSION_CA),
    )
    first = _Made(session, _values(session))
    second = _Made(session, generate_secrets(session, first.values, os.urandom, now=NOW))
    assert second["authority"].certificate == first["authority"].certificate
    assert second["leaf"].public_key_der != first["leaf"].public_key_der
    assert SecretValues.from_json(second.values.to_json()) == second.values


def test_certificates_say_what_they_are_for() -> None:
    """Only an authority may sign, and an end has the use that the session names."""
    session = _session(*_PKI)
    made = _Made(session, _values(session))
    usage = made["leaf"].certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (False, True)
    usage = made["middle"].certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert replace(made["leaf"], private_key=None).private_key is None
