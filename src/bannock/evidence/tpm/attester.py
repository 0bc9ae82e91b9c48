"""The TPM of this machine, as a LAS uses it: quotes for the key of the LAS, and activation of the key that signs them.

The attestation key is a primary key of the endorsement hierarchy: the TPM makes the same one from its seed each time,
so nothing has to be kept but certificates, and those are public. Whoever may use this TPM may ask it for quotes, too;
that nobody but the system does whose start the registers tell of, is what that system is trusted for.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, EvidenceError, InputError
from bannock.evidence.attester import key_binding
from bannock.evidence.quotes import TpmQuote
from bannock.evidence.tpm.activation import Challenge
from bannock.evidence.tpm.algorithms import HASHES
from bannock.evidence.tpm.certificates import load_certificate
from bannock.evidence.tpm.event_log import EVENT_LOG_BYTES_MAX
from bannock.evidence.tpm.key_certificates import KeyCertificates
from bannock.evidence.tpm.keys import certified, encoded
from bannock.evidence.tpm.manufacturer import EndorsementKeys
from bannock.evidence.tpm.public import Public
from bannock.evidence.tpm.quoted import PCRS_MAX, Pcrs, Quoted, Signature, pcrs_to_json
from bannock.evidence.tpm.tools import DEVICE, tpm_session
from bannock.values import Secret

if TYPE_CHECKING:
    from bannock.evidence.tpm.tools import TpmSession

__all__ = ["EVENT_LOG", "PCRS", "TpmReporter", "unavailable"]

_log = logging.getLogger("bannock.las")

#: Where the kernel shows what the firmware has measured.
EVENT_LOG: Final = Path("/sys/kernel/security/tpm0/binary_bios_measurements")
#: All that a start goes into. 10 is the kernel's (IMA), and changes all the time; 15 and above are for applications.
PCRS: Final = "sha256:0,1,2,3,4,5,6,7,8,9,11,12,13,14"
_SELECTION: Final = re.compile(r"(sha256|sha384|sha512):((?:\d{1,2},)*\d{1,2})")
_BINDING_BYTES: Final = 32
_OPENED: Final = re.compile(rb"^certinfodata:([0-9a-f]{64})$", re.MULTILINE)
_ATTEMPTS: Final = 3
#: What stands in front of a credential in the files of tpm2_activatecredential.
_CREDENTIAL_MAGIC: Final = bytes.fromhex("badcc0de00000001")
_ATTESTATION_KEY: Final = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign"


def unavailable(tcti: str = DEVICE) -> str | None:
    """Say why a TPM cannot be used; None if it can."""
    try:
        with tpm_session(tcti) as session:
            session.run("tpm2_getcap", "properties-fixed")
    except EnvironmentFault as error:
        return error.message
    return None


class TpmReporter:
    """Asks a TPM for quotes; its methods may be called from any thread.

    Args:
        tcti: how the TPM is reached (``tpm2-tools``' name for that).
        directory: where certificates of the attestation key are kept, and further ones of the endorsement key are
            looked for (``endorsement/*.der`` and ``*.pem``); made if it is not there. None for neither.
        pcrs: the registers to quote, of one bank.
        event_log: of the firmware; None to leave it out.

    Raises:
        InputError: these are no registers.
    """

    def __init__(
        self,
        tcti: str = DEVICE,
        *,
        directory: Path | None = None,
        pcrs: str = PCRS,
        event_log: Path | None = EVENT_LOG,
    ) -> None:
        found = _SELECTION.fullmatch(pcrs)
        indices = sorted({int(index) for index in found[2].split(",")}) if found else []
        if found is None or indices[-1] >= PCRS_MAX:
            raise InputError(f"registers of a TPM are written sha256:0,7, found {pcrs[:80]!r}")
        self._tcti = tcti
        self._bank, self._indices = found[1], indices
        self._event_log = event_log
        self._certificates = KeyCertificates(directory)
        self._endorsement = EndorsementKeys(None if directory is None else directory / "endorsement")
        self._lock = threading.Lock()

    def quote(self, key: bytes) -> tuple[TpmQuote, bytes]:
        """Give a quote for the key of a LAS, and no endorsements: what vouches for it is in the quote.

        Args:
            key: DER SubjectPublicKeyInfo (Ed25519).

        Raises:
            EnvironmentFault: the TPM cannot be used.
        """
        with self._lock, tpm_session(self._tcti) as session:
            public = _attestation_key(session)
            attest, signature, pcrs = self._quoted(session, key_binding(key)[:_BINDING_BYTES])
            endorsement = self._endorsement.certificates(session)
            quote = TpmQuote(
                key=key,
                attest=attest,
                signature=signature,
                ak_public=public.encoded,
                ak_certificates=self._certificates.of(encoded(public.key)),
                ek_certificates=endorsement,
                pcrs=pcrs_to_json(pcrs),
                event_log=self._events(),
            )
        return quote, b""

    def activate(self, challenge: bytes) -> None:
        """Let the TPM open the certificate of its attestation key, and keep it; quotes have it from then on.

        Args:
            challenge: of an authority (:class:`~bannock.evidence.tpm.activation.Challenge`).

        Raises:
            EvidenceError: it is malformed, or not for this TPM and this key.
            EnvironmentFault: the TPM cannot be used.
        """
        wanted = Challenge.from_json(challenge)
        with self._lock, tpm_session(self._tcti) as session:
            public = _attestation_key(session)
            by_policy = self._endorsement.load(session, wanted.endorsement_key)
            secret = _activated(session, wanted, by_policy=by_policy)
            certificate = wanted.open(secret, public.name)
            parsed = load_certificate(certificate, "the certificate in the challenge")
            if certified(parsed) != encoded(public.key):
                raise EvidenceError("the certificate in the challenge is of another key than the attestation key here")
            self._certificates.keep(parsed)
        _log.info("the attestation key of the TPM is vouched for by %s", parsed.issuer.rfc4514_string()[:200])

    def _quoted(self, session: TpmSession, qualifying: bytes) -> tuple[bytes, bytes, Pcrs]:
        """Quote the registers, and read them; again, if they change in between."""
        selection = f"{self._bank}:{','.join(map(str, self._indices))}"
        failure: EvidenceError | None = None
        for _ in range(_ATTEMPTS):
            session.run(
                "tpm2_quote", "-c", "ak", "-l", selection, "-q", qualifying.hex(), "-g", "sha256",
                "-m", "attest", "-s", "signature", "-o", "pcrs", "-F", "values",
            )  # fmt: skip
            session.forget()
            attest, signature, values = (session.read(name) for name in ("attest", "signature", "pcrs"))
            size = next(algorithm.digest_size for name, algorithm in HASHES.values() if name == self._bank)
            if len(values) != size * len(self._indices):
                raise EnvironmentFault(
                    f"the TPM has no registers {selection}", hint="choose others; tpm2_getcap pcrs lists them"
                )
            parts = (values[at : at + size] for at in range(0, len(values), size))
            pcrs = {self._bank: dict(zip(self._indices, parts, strict=True))}
            try:
                Quoted.parse(attest).require_values(pcrs, Signature.parse(signature).algorithm)
            except EvidenceError as error:
                failure = error
            else:
                return attest, signature, pcrs
        raise EnvironmentFault(
            f"the registers {selection} change faster than the TPM quotes them", hint="choose others"
        ) from failure

    def _events(self) -> bytes:
        if self._event_log is None:
            return b""
        try:
            log = self._event_log.read_bytes()
        except OSError as error:
            _log.warning("quotes come without an event log: %s: %s", self._event_log, error.strerror)
            return b""
        if len(log) > EVENT_LOG_BYTES_MAX:
            _log.warning("quotes come without an event log: it has more than %d bytes", EVENT_LOG_BYTES_MAX)
            return b""
        return log


def _attestation_key(session: TpmSession) -> Public:
    """Make the attestation key, as the context ``ak``."""
    session.run(
        "tpm2_createprimary", "-C", "e", "-g", "sha256", "-G", "ecc256:ecdsa-sha256:null",
        "-a", _ATTESTATION_KEY, "-c", "ak",
    )  # fmt: skip
    session.forget()
    session.run("tpm2_readpublic", "-c", "ak", "-f", "tss", "-o", "ak.public")
    session.forget()
    return Public.parse(session.read("ak.public")[2:])


def _activated(session: TpmSession, challenge: Challenge, *, by_policy: bool) -> Secret:
    """Let the TPM open a credential with the contexts ``ak`` and ``ek``."""
    credential = challenge.credential
    blob = b"".join(len(part).to_bytes(2, "big") + part for part in (credential.blob, credential.secret))
    session.write("credential", _CREDENTIAL_MAGIC + blob)
    if by_policy:
        session.run("tpm2_startauthsession", "--policy-session", "-S", "policy")
    try:
        if by_policy:
            session.run("tpm2_policysecret", "-S", "policy", "-c", "e")
        opened = session.run(
            "tpm2_activatecredential", "-c", "ak", "-C", "ek", "-i", "credential", "-o", "/dev/null",
            *(("-P", "session:policy") if by_policy else ()),
        )  # fmt: skip
    except EnvironmentFault as error:
        raise EvidenceError(
            "the TPM does not open the challenge: it is for another TPM, or for another key"
        ) from error
    finally:
        if by_policy:
            session.run("tpm2_flushcontext", "policy")
        session.forget()
    found = _OPENED.search(opened)
    if found is None:
        raise EnvironmentFault("tpm2_activatecredential does not say what the TPM has opened")
    return Secret(bytes.fromhex(found[1].decode("ascii")))
