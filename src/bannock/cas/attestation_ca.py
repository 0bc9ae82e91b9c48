"""The authority of this CAS over attestation keys of TPMs: it vouches for those that TPMs have proven to have.

A manufacturer vouches for the endorsement key of a TPM, which signs nothing. So the certificate of the attestation key
is sealed to the TPM with that endorsement key, and to the name of the attestation key; nobody else opens it. Nothing
is kept here for it: the key of the authority follows from the CAS's own, and every process of a CAS has the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.cas.derived_keys import attestation_key_authority
from bannock.errors import ActivationError, EvidenceError
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import TpmQuote
from bannock.evidence.tpm.activation import Challenge
from bannock.evidence.tpm.certificates import chain_of, load_certificate
from bannock.evidence.tpm.keys import AK_USAGE, machine_id_of, name_of_machine, require_endorsement_certificate
from bannock.evidence.tpm.public import Public

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cas.tpm_roots import TpmRoots
    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.tpm.certificates import Chain
    from bannock.evidence.tpm.public import PublicKey
    from bannock.net.tls import Identity

__all__ = ["AttestationKeyAuthority"]

#: Afterwards a TPM proves itself again, by itself; what its manufacturer has revoked meanwhile is looked at then.
_VALID: Final = dt.timedelta(days=90)
#: Clocks of those who verify may be behind.
_LEEWAY: Final = dt.timedelta(hours=1)
_NO_CERTIFICATE: Final = "the TPM came without a certificate of its endorsement key, so nobody vouches for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class _EndorsementKey:
    """An endorsement key that a trusted manufacturer vouches for."""

    key: PublicKey
    chain: Chain


class AttestationKeyAuthority:
    """The authority of one CAS; thread-safe.

    Args:
        identity: of the CAS.
        roots: whom to trust to vouch for endorsement keys.
        random: gives as many random bytes as asked for.
    """

    def __init__(self, identity: Identity, roots: TpmRoots, random: Callable[[int], bytes]) -> None:
        self._authority = attestation_key_authority(identity)
        self._roots = roots
        self._random = random

    def trusted(self, at: dt.datetime) -> Endorsements:
        """Give what this CAS trusts for its own sake: the manufacturers of TPMs, and itself."""
        known = self._roots.at(at)
        return replace(known, roots=(*known.roots, self._authority.certificate.public_bytes(Encoding.DER)))

    def challenged(
        self, error: ActivationError, evidence: bytes, endorsements: Endorsements, at: dt.datetime
    ) -> ActivationError:
        """Give an error with the challenge by which the TPM can prove itself; or with the reasons why there is none.

        Args:
            error: why evidence does not hold, though all else in it does.
            evidence: the envelope.
            endorsements: what is known, and trusted (:meth:`trusted`).
            at: now.
        """
        quote = Envelope.from_json(evidence).quote
        if not isinstance(quote, TpmQuote):
            return error
        attestation = Public.parse(quote.ak_public)
        try:
            endorsement = _endorsement_key(quote, endorsements, at)
            certificate = self._issue(endorsement, attestation, at).public_bytes(Encoding.DER)
            challenge = Challenge.make(endorsement.key, attestation, certificate, self._random)
        except EvidenceError as reason:
            return ActivationError(
                error.message,
                reasons=[*error.reasons, reason.message, *reason.reasons],
                hint="the operator of the CAS names whom to trust in [tpm] roots (docs/platforms.md)",
            )
        return ActivationError(error.message, reasons=error.reasons, challenge=challenge.to_json())

    def _issue(self, endorsement: _EndorsementKey, attestation: Public, at: dt.datetime) -> x509.Certificate:
        until = min([at + _VALID, *(bound.until for bound in endorsement.chain.bounds)])
        return (
            x509.CertificateBuilder()
            .subject_name(name_of_machine(machine_id_of(endorsement.key)))
            .issuer_name(self._authority.certificate.subject)
            .public_key(attestation.key)
            .serial_number(int.from_bytes(self._random(16), "big") >> 1 or 1)
            .not_valid_before(at - _LEEWAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([AK_USAGE]), critical=False)
            .sign(self._authority.private_key, hashes.SHA256())
        )


def _endorsement_key(quote: TpmQuote, endorsements: Endorsements, at: dt.datetime) -> _EndorsementKey:
    """Find an endorsement key that a trusted manufacturer vouches for; of an issuer there may be certificates, too."""
    reasons: list[str] = []
    for data in quote.ek_certificates:
        try:
            certificate = load_certificate(data, "the certificate of the endorsement key")
            require_endorsement_certificate(certificate)
            what = "the certificate of the endorsement key"
            chain = chain_of(certificate, quote.ek_certificates, endorsements, at, what)
        except EvidenceError as error:
            reasons += [error.message, *error.reasons]
            continue
        key = certificate.public_key()
        if chain.trusted and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            return _EndorsementKey(key=key, chain=chain)
        reasons.append("the certificate of the endorsement key leads to nobody who is trusted here")
    message = "no manufacturer who is trusted here vouches for the TPM"
    raise EvidenceError(message, reasons=reasons or [_NO_CERTIFICATE])
