"""Certificates and revocation lists of make-believe Intel, in the profile of Intel's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bannock.evidence.dcap.pck import SGX_EXTENSION, PckIdentity
from bannock.evidence.rehearsal.seeds import grown_bytes, grown_p256_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["IntelCertificates", "make_certificates", "make_crl", "sgx_extension"]

#: Whoever looks at such a certificate is to see what it is.
_ORGANIZATION: Final = "Bannock make-believe Intel, protects nothing"
#: Clocks are not alike.
_SLACK: Final = timedelta(days=1)
_ROOT_LASTS: Final = timedelta(days=365 * 30)
_OTHERS_LAST: Final = timedelta(days=365 * 7)
_SERIAL_BYTES: Final = 19
#: DER of the object identifier 1.2.840.113741.1.13.1.
_SGX_OID: Final = bytes.fromhex("2a864886f84d010d01")
_INTEGER, _BOOLEAN, _OCTETS, _OID, _ENUMERATED, _SEQUENCE = 0x02, 0x01, 0x04, 0x06, 0x0A, 0x30
_LONG_FORM: Final = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class IntelCertificates:
    """The certificates of a make-believe Intel and of one machine that it made."""

    root: x509.Certificate
    authority: x509.Certificate
    pck: x509.Certificate
    signer: x509.Certificate

    @property
    def pck_chain(self) -> tuple[bytes, ...]:
        """DER of the chain that quotes carry."""
        return tuple(each.public_bytes(Encoding.DER) for each in (self.pck, self.authority, self.root))


def make_certificates(seed: bytes, since: datetime, machine: PckIdentity) -> IntelCertificates:
    """Make the certificates that follow from a seed."""
    root_key, authority_key = grown_p256_key(seed, "root"), grown_p256_key(seed, "pck authority")
    root_name = _name("Intel SGX Root CA")
    authority_name = _name("Intel SGX PCK Platform CA")
    begin = since - _SLACK

    def build(
        name: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, lasts: timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(_serial(seed, name))
            .not_valid_before(begin)
            .not_valid_after(since + lasts)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    def sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, below: int | None) -> x509.Certificate:
        authority = below is not None
        return (
            builder.add_extension(x509.BasicConstraints(ca=authority, path_length=below), critical=True)
            .add_extension(_usage(authority=authority), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
        )

    pck_key, signer_key = grown_p256_key(seed, "pck"), grown_p256_key(seed, "signer")
    pck = build(_name("Intel SGX PCK Certificate"), pck_key, authority_name, _OTHERS_LAST)
    pck = pck.add_extension(x509.UnrecognizedExtension(SGX_EXTENSION, sgx_extension(machine)), critical=False)
    signer = build(_name("Intel SGX TCB Signing"), signer_key, root_name, _OTHERS_LAST)
    return IntelCertificates(
        root=sign(build(root_name, root_key, root_name, _ROOT_LASTS), root_key, 1),
        authority=sign(build(authority_name, authority_key, root_name, _OTHERS_LAST), root_key, 0),
        pck=sign(pck, authority_key, None),
        signer=sign(signer, root_key, None),
    )


def make_crl(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Sequence[x509.Certificate],
    *,
    issued: datetime,
    until: datetime,
) -> bytes:
    """Make a revocation list, DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(issued)
        .next_update(until)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(each.serial_number).revocation_date(issued).build()
        )
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def sgx_extension(machine: PckIdentity) -> bytes:
    """Write what a PCK certificate says of its processor."""
    components = b"".join(
        _entry(b"\x02" + bytes([index]), _element(_INTEGER, _unsigned(svn)))
        for index, svn in enumerate(machine.cpu_svn, start=1)
    )
    tcb = (
        components
        + _entry(b"\x02\x11", _element(_INTEGER, _unsigned(machine.pce_svn)))
        + _entry(b"\x02\x12", _element(_OCTETS, machine.cpu_svn))
    )
    flags = ((b"\x07\x01", machine.dynamic_platform), (b"\x07\x02", machine.cached_keys), (b"\x07\x03", machine.smt))
    configuration = b"".join(
        _entry(name, _element(_BOOLEAN, b"\xff" if flag else b"\x00")) for name, flag in flags if flag is not None
    )
    return _element(
        _SEQUENCE,
        _entry(b"\x01", _element(_OCTETS, machine.ppid))
        + _entry(b"\x02", _element(_SEQUENCE, tcb))
        + _entry(b"\x03", _element(_OCTETS, machine.pce_id))
        + _entry(b"\x04", _element(_OCTETS, machine.fmspc))
        + _entry(b"\x05", _element(_ENUMERATED, b"\x01"))
        + _entry(b"\x07", _element(_SEQUENCE, configuration)),
    )


def _entry(name: bytes, value: bytes) -> bytes:
    return _element(_SEQUENCE, _element(_OID, _SGX_OID + name) + value)


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _LONG_FORM:
        return bytes([tag, length]) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG_FORM | len(encoded)]) + encoded + content


def _unsigned(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=not authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
        ]
    )


def _serial(seed: bytes, name: x509.Name) -> int:
    return int.from_bytes(grown_bytes(seed, f"serial {name.rfc4514_string()}", _SERIAL_BYTES), "big") | 1
