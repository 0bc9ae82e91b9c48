"""Make-believe enclaves: a key, a connection to a CAS and a simulated attester, with every step open to attack."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.evidence.attester import SimAttester
from bannock.evidence.report import Report, report_data
from bannock.net.client import Connection, connect
from bannock.net.problem import from_problem
from bannock.net.tls import Identity
from bannock.policy.configuration import Configuration
from bannock.values import Measurement
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.evidence.envelope import Envelope
    from bannock.net.address import Address
    from bannock.values import FspfTag, KeyHash


class Attester(Protocol):
    """Turns reports into evidence."""

    def attest(self, report: Report) -> Envelope:
        """Return evidence for a report."""


_ATTESTER = SimAttester(Ed25519PrivateKey.from_private_bytes(b"l" * 32))


@dataclass(kw_only=True)
class Enclave:
    """What a runtime would be."""

    connection: Connection
    identity: Identity
    measurement: Measurement = MEASUREMENT
    attester: Attester = field(default=_ATTESTER)
    instance: bytes | None = None
    debug: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def nonce(self) -> bytes:
        """Ask for a nonce."""
        return bytes.fromhex(self.connection.request_json("POST", "/v1/enclave/nonce", {})["nonce"])

    def evidence(self, nonce: bytes, *, exporter: bytes | None = None, key: KeyHash | None = None) -> dict[str, Any]:
        """Make evidence, for this connection and key unless others are given."""
        report = Report(
            measurement=self.measurement,
            signer=Measurement(b"\x22" * 32),
            product_id=0,
            svn=0,
            debug=self.debug,
            data=report_data(nonce, exporter or self.connection.exporter(), key or self.identity.key_hash),
            instance=self.instance,
        )
        envelope: dict[str, Any] = json.loads(self.attester.attest(report).to_json())
        return envelope

    def present(
        self, evidence: dict[str, Any], *, session: str = "demo", service: str = "app", **shown: str
    ) -> Configuration:
        """Send evidence and what else there is to be shown, and read the configuration that it gets."""
        payload = {"session": session, "service": service, "evidence": evidence, **shown}
        answer = self.connection.request("POST", "/v1/enclave/attest", json.dumps(payload).encode())
        if answer.status != 200:
            raise from_problem(answer.status, answer.body)
        self.headers = answer.headers
        return Configuration.from_json(answer.body)

    def attest(self, *, session: str = "demo", service: str = "app", **shown: str) -> Configuration:
        """Do all of it as a runtime does."""
        return self.present(self.evidence(self.nonce()), session=session, service=service, **shown)

    def secrets(self, *placeholders: str) -> dict[str, bytes]:
        """Ask for what placeholders of injected files stand for."""
        answer = self.connection.request_json("POST", "/v1/enclave/secrets", {"placeholders": placeholders})
        return {name: base64.b64decode(value) for name, value in answer["values"].items()}

    def commit(self, expected: FspfTag | None, tag: FspfTag, volume: str = "output") -> str:
        """Move a volume to its next state."""
        return self._commit(f"/v1/enclave/volumes/{volume}/commit", expected, tag)

    def commit_fspf(self, expected: FspfTag | None, tag: FspfTag) -> str:
        """Move the main protection file to its next state."""
        return self._commit("/v1/enclave/fspf/commit", expected, tag)

    def _commit(self, path: str, expected: FspfTag | None, tag: FspfTag) -> str:
        payload = {"expected": None if expected is None else str(expected), "tag": str(tag)}
        return str(self.connection.request_json("POST", path, payload)["tag"])


@contextmanager
def enclave(
    address: Address, cas: KeyHash, measurement: Measurement = MEASUREMENT, instance: bytes | None = None
) -> Iterator[Enclave]:
    """Open a connection of a fresh enclave, or of the start of one that a LAS knows by a name."""
    identity = Identity.generate("enclave", names=(), addresses=())
    with connect(address.host, address.port, identity, expected_peer=cas) as connection:
        yield Enclave(connection=connection, identity=identity, measurement=measurement, instance=instance)
