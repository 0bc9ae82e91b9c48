"""The CAS as an attester: what it says of itself, and evidence for it.

Thread-safe. The evidence comes from the LAS of this host if the configuration names one. Without, the CAS measures
itself, and signs by a key that the trust domain or guest vouches for which it runs in; on platform ``sim`` the key
vouches for itself, which is worth as much as the word of a LAS there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import threading
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock import __version__
from bannock.cas.derived_keys import attester_key, session_encryption_key, software_identity
from bannock.errors import BannockError, DeniedError, EnvironmentFault, EvidenceError, InputError
from bannock.evidence.cas_statement import CAS_FORMAT, CasStatement, channel_of
from bannock.evidence.las_client import LasClient
from bannock.evidence.modes import Mode
from bannock.evidence.platforms import Places, choose
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify, verify_quote
from bannock.identity.cas_program import CAS_SIGSTRUCT, cas_manifest, cas_measurement, cas_signature
from bannock.identity.signer import SignedIdentity
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from bannock.evidence.platforms import ReportAttester
    from bannock.evidence.verifier import QuoteVerifier
    from bannock.net.tls import Identity
    from bannock.policy.claims import Claims
    from bannock.values import Measurement

__all__ = ["SelfAttestation"]

_log = logging.getLogger(__name__)

_RENEWED_EVERY: Final = dt.timedelta(hours=12)
_OWN_CONTEXT: Final = b"bannock cas own claims 1\0"


class SelfAttestation:
    """Attests one CAS.

    Args:
        identity: of the CAS.
        las: address of the LAS that gives the evidence; None for none.
        mode: whether hardware has to vouch for it.
        clock: tells what time it is.
        places: where hardware is looked for.
        signed: where the signature of this software is, if anybody signed it.

    Raises:
        EnvironmentFault: hardware has to vouch for it, and there is none.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        las: str | None,
        mode: Mode = Mode.SIM,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        places: Places | None = None,
        signed: Path = CAS_SIGSTRUCT,
    ) -> None:
        self._identity = identity
        self._las = None if las is None else LasClient(las)
        self._mode = mode
        self._clock = clock
        # A TPM vouches for nobody whose verifier it has not activated its key for: that is what a LAS is for.
        self._places = places or Places()
        self._attester: ReportAttester | None = None
        self._renewed: dt.datetime | None = None
        self._encryption_key = session_encryption_key(identity)
        self._lock = threading.Lock()
        self._measurement: Measurement | None = None
        self._software: Identity | None = None
        self._signed = signed
        self._sigstruct: bytes | None = None
        if las is None and mode is Mode.HW:
            self._own_attester()

    @property
    def encryption_key(self) -> ec.EllipticCurvePrivateKey:
        """What opens sessions that were encrypted for this CAS."""
        return self._encryption_key

    @property
    def measurement(self) -> Measurement:
        """MRENCLAVE of the CAS; measured once, because code that is loaded does not change."""
        with self._lock:
            if self._measurement is None:
                self._measurement = cas_measurement()
            return self._measurement

    def claims(self, appraise: QuoteVerifier = verify_quote) -> Claims | None:
        """Say what evidence of this CAS says of it, so that it can ask the same of another one.

        Only what is certain counts: None where the evidence does not verify here.

        Args:
            appraise: verifies quotes.

        Raises:
            BannockError: there is no evidence to be had.
        """
        data = hashlib.sha512(_OWN_CONTEXT).digest()
        evidence = self.evidence(data)
        try:
            return verify(evidence, expected_report_data=data, at=self._clock(), appraise=appraise).claims
        except EvidenceError:
            return None

    @property
    def software(self) -> Identity:
        """The key of this software on this CAS."""
        measurement = self.measurement
        with self._lock:
            if self._software is None:
                self._software = software_identity(self._identity, measurement)
            return self._software

    def statement(
        self,
        *,
        nonce: str | None,
        exporter: bytes,
        provisioned: bool,
        provisioning_required: bool,
        owner_secret_access: bool,
    ) -> CasStatement:
        """Say what this CAS is, to whoever asks over one connection."""
        public = self._encryption_key.public_key()
        return CasStatement(
            nonce=nonce,
            channel=channel_of(exporter),
            certificate=self._identity.certificate_pem.decode("ascii"),
            software_certificate=self.software.certificate_pem.decode("ascii"),
            session_encryption_key=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(
                "ascii"
            ),
            provisioned=provisioned,
            provisioning_required=provisioning_required,
            owner_secret_access=owner_secret_access,
            version=__version__,
        )

    def document(self, statement: CasStatement) -> dict[str, Any]:
        """Give the statement with evidence for it, as it travels.

        Raises:
            BannockError: the LAS does not give evidence, or measures something else than what runs here.
        """
        evidence = json.loads(self.evidence(statement.report_data()))
        return {"format": CAS_FORMAT, "statement": statement.to_document(), "evidence": evidence}

    def evidence(self, data: bytes) -> bytes:
        """Give evidence of this CAS that is bound to 64 bytes, in its envelope.

        Raises:
            BannockError: as :meth:`document`.
        """
        measurement = self.measurement
        if self._las is None:
            signed = SignedIdentity.of(cas_manifest(self._signature()), measurement)
            report = Report(
                measurement=measurement,
                signer=signed.signer,
                product_id=signed.product_id,
                svn=signed.svn,
                debug=signed.debug,
                data=data,
            )
            return self._own_attester().attest(report).to_json()
        if self._mode is Mode.HW and (platform := self._las.platform()).platform == SIMULATED:
            raise EnvironmentFault(f"SCONE_MODE=hw asks for hardware, and the LAS of this CAS has platform {platform}")
        envelope, tree = self._las.report(cas_manifest(self._signature()), data)
        if tree.root != measurement:
            raise EvidenceError(
                f"the LAS of this host measures another CAS than the one that runs: {tree.root}, "
                f"expected {measurement}",
                hint="LAS and CAS have to be of one version; start both anew after an update",
            )
        return envelope

    def activate(self, challenge: str) -> None:
        """Have the TPM behind the LAS prove itself to somebody; what it opens stays with the LAS.

        Args:
            challenge: of whoever asks (:class:`~bannock.evidence.tpm.activation.Challenge`), in base64.

        Raises:
            InputError: it is not base64.
            DeniedError: there is no such TPM, or it is for another one.
            EnvironmentFault: the LAS or its TPM does not answer.
        """
        try:
            data = b64decode(challenge, validate=True)
        except ValueError:
            raise InputError("the challenge is not base64") from None
        if self._las is None:
            raise DeniedError("no LAS gives evidence of this CAS, so there is no TPM that could prove itself")
        self._las.activate(data)

    def _signature(self) -> bytes:
        """Return the signature of this software; read once, as the software itself was."""
        with self._lock:
            if self._sigstruct is None:
                self._sigstruct = cas_signature(self._signed)
            return self._sigstruct

    def _own_attester(self) -> ReportAttester:
        """Return what vouches for this CAS without a LAS, renewed now and then."""
        with self._lock:
            now = self._clock()
            if self._attester is None:
                chosen = choose(self._mode, None, self._places, lambda: attester_key(self._identity))
                self._attester, self._renewed = chosen.attester, now
                _log.info("platform %s: %s", chosen.attester.platform, chosen.reason)
            elif self._renewed is None or now - self._renewed > _RENEWED_EVERY:
                # Whatever comes of it, it is not tried again at each request.
                self._renewed = now
                try:
                    self._attester.renew()
                except BannockError as error:
                    _log.error("the quote could not be renewed, and the one that was there is in force: %s", error)
            return self._attester
