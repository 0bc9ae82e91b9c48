"""The CAS as an attester: what it says of itself, and evidence for it.

Thread-safe. The evidence comes from the LAS of this host if the configuration names one; without, the CAS measures
itself and signs with a key of its own, which on platform ``sim`` is worth as much.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock import __version__
from bannock.cas.derived_keys import attester_key, session_encryption_key, software_identity
from bannock.errors import EvidenceError
from bannock.evidence.attester import SimAttester
from bannock.evidence.cas_statement import CAS_FORMAT, CasStatement, channel_of
from bannock.evidence.las_client import LasClient
from bannock.evidence.report import Report
from bannock.identity.cas_program import cas_manifest, cas_measurement
from bannock.values import Measurement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from bannock.net.tls import Identity

__all__ = ["SelfAttestation"]

#: What is not signed by anybody has this as its MRSIGNER.
_NO_SIGNER: Final = Measurement(bytes(32))


class SelfAttestation:
    """Attests one CAS.

    Args:
        identity: of the CAS.
        las: address of the LAS that gives the evidence; None for none.
    """

    def __init__(self, identity: Identity, *, las: str | None) -> None:
        self._identity = identity
        self._las = None if las is None else LasClient(las)
        self._attester = SimAttester(attester_key(identity))
        self._encryption_key = session_encryption_key(identity)
        self._lock = threading.Lock()
        self._measurement: Measurement | None = None
        self._software: Identity | None = None

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

    @property
    def is_simulated(self) -> bool:
        """Whether nothing protects this CAS; so it asks no more of another one."""
        return True  # so far there is no other platform

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
            report = Report(measurement=measurement, signer=_NO_SIGNER, product_id=0, svn=0, debug=False, data=data)
            return self._attester.attest(report).to_json()
        envelope, tree = self._las.report(cas_manifest(), data)
        if tree.root != measurement:
            raise EvidenceError(
                f"the LAS of this host measures another CAS than the one that runs: {tree.root}, "
                f"expected {measurement}",
                hint="LAS and CAS have to be of one version; start both anew after an update",
            )
        return envelope
