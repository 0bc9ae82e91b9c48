"""What the quote of a TPM 2 proves. Pure; time is an argument.

A TPM tells how its machine was started, and that the key which signs it is inside of it. It protects no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import ActivationError, Bug, EvidenceError
from bannock.evidence.appraisal import Finding, PlatformAppraisal, TcbState
from bannock.evidence.quotes import TpmQuote
from bannock.evidence.tpm.boot import boot_of
from bannock.evidence.tpm.certificates import chain_of, load_certificates
from bannock.evidence.tpm.keys import certified, encoded, machine_named, require_attestation_certificate
from bannock.evidence.tpm.public import Public
from bannock.evidence.tpm.quoted import Quoted, Signature, pcrs_from_json

if TYPE_CHECKING:
    from datetime import datetime

    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.quotes import Quote
    from bannock.evidence.tpm.certificates import Chain

__all__ = ["verify_tpm"]

#: As much of the hash of the key as every TPM takes as qualifying data.
_BINDING_BYTES: Final = 32
_NO_MEMORY: Final = (
    "a TPM vouches for how the machine was started; it protects no memory from whoever rules the machine"
)


def verify_tpm(quote: Quote, endorsements: Endorsements, at: datetime) -> PlatformAppraisal:
    """Verify the quote of a TPM.

    Args:
        quote: with the values of its registers, the event log, and certificates of the keys.
        endorsements: the authorities that are trusted to vouch for attestation keys.
        at: the time of the verdict.

    Raises:
        ActivationError: the quote holds, and nobody who is trusted vouches for its attestation key.
        EvidenceError: it does not hold.
    """
    if not isinstance(quote, TpmQuote):
        raise Bug(f"a {type(quote).__name__} is no quote of a TPM")
    public = Public.parse(quote.ak_public)
    public.require_attestation_key()
    quoted, signature = Quoted.parse(quote.attest), Signature.parse(quote.signature)
    signature.require(public, quote.attest)
    if len(quoted.qualifying) != _BINDING_BYTES:
        raise EvidenceError(
            f"the TPM's quote is bound to {len(quoted.qualifying)} bytes, expected {_BINDING_BYTES}: a hash of the key"
        )
    pcrs = pcrs_from_json(quote.pcrs)
    quoted.require_values(pcrs, signature.algorithm)
    boot = boot_of(pcrs, quote.event_log)
    chain = _vouched(quote, public, endorsements, at)
    signed = Finding(
        "the quote is signed by an attestation key",
        detail=f"name {public.name.hex()}",
        because=(chain.finding, Finding("the key cannot leave its TPM, and signs only what that has made")),
    )
    values = Finding(
        "the registers give the digest that was signed", detail=quoted.digest.hex(), because=boot.findings
    )
    clock = f"started {quoted.resets} times, resumed {quoted.restarts} times, clock {quoted.clock} ms"
    return PlatformAppraisal(
        platform="tpm",
        genuine=chain.trusted,
        report_data=quoted.qualifying,
        debug=boot.debug,
        machine=boot.machine,
        machine_id=machine_named(chain.leaf),
        tcb=TcbState(level=f"TPM firmware {quoted.firmware:016x}"),
        warnings=(_NO_MEMORY, *boot.warnings),
        findings=(signed, values, Finding("the TPM's clock", None, clock)),
        bounds=chain.bounds,
    )


def _vouched(quote: TpmQuote, public: Public, endorsements: Endorsements, at: datetime) -> Chain:
    """Find who vouches for the attestation key: of several certificates the first that holds, a trusted one first."""
    wanted = encoded(public.key)
    reasons: list[str] = []
    found: list[Chain] = []
    for certificate in load_certificates(quote.ak_certificates):
        if certified(certificate) != wanted:
            continue
        try:
            require_attestation_certificate(certificate)
            what = "the certificate of the attestation key"
            found.append(chain_of(certificate, quote.ak_certificates, endorsements, at, what))
        except EvidenceError as error:
            reasons += [error.message, *error.reasons]
    if found:
        return min(found, key=lambda chain: not chain.trusted)
    raise ActivationError(
        "nobody who is trusted here vouches for the attestation key of this TPM: it has to be activated",
        reasons=reasons or ["it came without a certificate of its own"],
        hint="say whom you trust to vouch for TPMs: [tpm] roots of a CAS, --tpm-roots of `scone`",
    )
