"""An authority over attestation keys of TPMs: it vouches for those that TPMs have proven to have. Pure.

A manufacturer vouches for the endorsement key of a TPM, which signs nothing. So the certificate of the attestation key
is sealed to the TPM with that endorsement key, and to the name of the attestation key; nobody else opens it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EvidenceError
from bannock.evidence.tpm.activation import Challenge
from bannock.evidence.tpm.certificates import chain_of, load_certificate
from bannock.evidence.tpm.keys import AK_USAGE, machine_id_of, name_of_machine, require_endorsement_certificate
from bannock.evidence.tpm.public import Public

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.quotes import TpmQuote
    from bannock.evidence.tpm.certificates import Chain
    from bannock.evidence.tpm.public import PublicKey

__all__ = ["KeyAuthority", "authority_certificate"]

#: Afterwards a TPM proves itself again, by itself; what its manufacturer has revoked meanwhile is looked at then.
_VALID: Final = dt.timedelta(days=90)
#: Clocks of those who verify may be behind.
_LEEWAY: Final = dt.timedelta(hours=1)
_SERIAL_BYTES: Final = 16
_WHAT: Final = "the certificate of the endorsement key"
_NO_CERTIFICATE: Final = "the TPM came without a certificate of its endorsement key, so nobody vouches for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class _EndorsementKey:
    """An endorsement key that a trusted manufacturer vouches for."""

    key: PublicKey
    chain: Chain


class KeyAuthority:
    """One authority.

    Args:
        key: its private key.
        certificate: of that key (:func:`authority_certificate`).
        random: gives as many random bytes as asked for.
    """

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, random: Callable[[int], bytes]
    ) -> None:
        self._key = key
        self._certificate = certificate
        self._random = random

    @property
    def root(self) -> bytes:
        """Its certificate, DER: who trusts it, trusts what it vouches for."""
        return self._certificate.public_bytes(Encoding.DER)

    def challenge(self, quote: TpmQuote, endorsements: Endorsements, at: dt.datetime) -> bytes:
        """Vouch for the attestation key of a quote that holds, towards the TPM that has it.

        Args:
            quote: which names the TPM by a certificate of its endorsement key.
            endorsements: with the manufacturers that are trusted.
            at: now.

        Returns:
            A :class:`~bannock.evidence.tpm.activation.Challenge` in its canonical form.

        Raises:
            EvidenceError: nobody who is trusted vouches for the TPM; its reasons say what is wrong.
        """
        attestation = Public.parse(quote.ak_public)
        endorsement = _endorsement_key(quote, endorsements, at)
        certificate = self._issue(endorsement, attestation, at).public_bytes(Encoding.DER)
        return Challenge.make(endorsement.key, attestation, certificate, self._random).to_json()

    def _issue(self, endorsement: _EndorsementKey, attestation: Public, at: dt.datetime) -> x509.Certificate:
        until = min([at + _VALID, *(bound.until for bound in endorsement.chain.bounds)])
        return (
            x509.CertificateBuilder()
            .subject_name(name_of_machine(machine_id_of(endorsement.key)))
            .issuer_name(self._certificate.subject)
            .public_key(attestation.key)
            .serial_number(int.from_bytes(self._random(_SERIAL_BYTES), "big") >> 1 or 1)
            .not_valid_before(at - _LEEWAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([AK_USAGE]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def authority_certificate(
    key: ec.EllipticCurvePrivateKey, name: str, serial: int, not_before: dt.datetime, not_after: dt.datetime
) -> x509.Certificate:
    """Make the certificate of an authority; always the same of the same."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )


def _endorsement_key(quote: TpmQuote, endorsements: Endorsements, at: dt.datetime) -> _EndorsementKey:
    """Find an endorsement key that a trusted manufacturer vouches for; of an issuer there may be certificates, too."""
    reasons: list[str] = []
    for data in quote.ek_certificates:
        try:
            certificate = load_certificate(data, _WHAT)
            require_endorsement_certificate(certificate)
            chain = chain_of(certificate, quote.ek_certificates, endorsements, at, _WHAT)
        except EvidenceError as error:
            reasons += [error.message, *error.reasons]
            continue
        key = certificate.public_key()
        if chain.trusted and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            return _EndorsementKey(key=key, chain=chain)
        reasons.append(f"{_WHAT} leads to nobody who is trusted here")
    message = "no manufacturer who is trusted here vouches for the TPM"
    raise EvidenceError(message, reasons=reasons or [_NO_CERTIFICATE])
