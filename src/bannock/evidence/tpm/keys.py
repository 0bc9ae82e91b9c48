"""What certificates say of keys of TPMs: whose a key is, and what it is for. Pure.

TCG EK Credential Profile for TPM Family 2.0, sections 3.2 and 3.5; TCG registry of object identifiers.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from bannock.evidence.tpm.public import PublicKey

__all__ = [
    "AK_USAGE",
    "EK_USAGE",
    "certified",
    "encoded",
    "machine_id_of",
    "machine_named",
    "name_of_machine",
    "require_attestation_certificate",
    "require_endorsement_certificate",
]

#: tcg-kp-EKCertificate and tcg-kp-AIKCertificate.
EK_USAGE: Final = x509.ObjectIdentifier("2.23.133.8.1")
AK_USAGE: Final = x509.ObjectIdentifier("2.23.133.8.3")
_MACHINE: Final = "urn:bannock:tpm:"
_MACHINE_NAME: Final = re.compile(r"urn:bannock:tpm:([0-9a-f]{64})")


def encoded(key: PublicKey) -> bytes:
    """Give a key as DER SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certified(certificate: x509.Certificate) -> bytes:
    """Give the key of a certificate as DER SubjectPublicKeyInfo."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def machine_id_of(endorsement_key: PublicKey) -> str:
    """Give what a machine is named by: a hash of its TPM's endorsement key."""
    return hashlib.sha256(b"tpm\0" + encoded(endorsement_key)).hexdigest()


def name_of_machine(machine_id: str) -> x509.Name:
    """Give the subject of the certificate of an attestation key on a machine."""
    oids = x509.NameOID
    return x509.Name(
        [
            x509.NameAttribute(oids.COMMON_NAME, f"attestation key of TPM {machine_id[:12]}"),
            x509.NameAttribute(oids.SERIAL_NUMBER, _MACHINE + machine_id),
        ]
    )


def machine_named(certificate: x509.Certificate) -> str | None:
    """Give the machine that a certificate of an attestation key names; None if it names none in our way."""
    for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER):
        found = _MACHINE_NAME.fullmatch(str(attribute.value))
        if found:
            return found[1]
    return None


def require_attestation_certificate(certificate: x509.Certificate) -> None:
    """Say that a certificate has to be one of an attestation key: an authority has checked that a TPM has it.

    Some clouds certify the attestation keys of their TPMs as endorsement keys that sign, and do not decrypt.

    Raises:
        EvidenceError: it is another one.
    """
    usages, usage = _usages(certificate), _usage(certificate)
    signs = usage is not None and usage.digital_signature and not (usage.key_encipherment or usage.key_agreement)
    if _is_authority(certificate) or not (AK_USAGE in usages or (EK_USAGE in usages and signs)):
        raise EvidenceError(
            "the certificate is not one of an attestation key",
            reasons=[f"expected the extended key usage {AK_USAGE.dotted_string} (tcg-kp-AIKCertificate)"],
        )


def require_endorsement_certificate(certificate: x509.Certificate) -> None:
    """Say that a certificate has to be one of an endorsement key, which can only be used inside of its TPM.

    Raises:
        EvidenceError: it is another one.
    """
    usages, usage = _usages(certificate), _usage(certificate)
    decrypts = usage is not None and (usage.key_encipherment or usage.key_agreement)
    # The profile asks for the key usage, and only recommends the extended one.
    if _is_authority(certificate) or not decrypts or (usages and EK_USAGE not in usages):
        raise EvidenceError(
            "the certificate is not one of an endorsement key",
            reasons=[f"expected the extended key usage {EK_USAGE.dotted_string} (tcg-kp-EKCertificate)"],
        )


def _usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
