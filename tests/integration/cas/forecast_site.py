"""A CAS whose clock is ours, with an owner, and machines that are rehearsed."""

from __future__ import annotations

import datetime as dt
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bannock.cas import Cas, CasConfig
from bannock.cas.collateral_config import CollateralConfig
from bannock.cas.engines import WORKERS
from bannock.cas.owner_config import ConfigFormat
from bannock.cas.serving import endpoints
from bannock.evidence.rehearsal.knobs import ALL_WELL
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.las.rehearsal import rehearse
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.server import ThreadedServer
from bannock.net.tls import Identity
from bannock.policy.machines import rule_for
from bannock.values import KeyHash, Measurement
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.evidence.platforms import ReportAttester
    from bannock.net.client import Connection

ALICE: Final = KeyHash(b"a" * 32)
#: When genuine collateral of TDX is good.
NOW: Final = dt.datetime(2025, 7, 4, 10, 16, 30, tzinfo=dt.UTC)
SESSION: Final = """
name: {name}
version: "0.3.11"
services:
  - {{name: app, command: app, mrenclaves: ["{measurement}"]}}
security:
  attestation: {attestation}
"""
_OFFLINE: Final = CollateralConfig(offline=True)


class Site:
    """A CAS whose clock is ours, with an owner, and machines that are rehearsed."""

    def __init__(self, directory: Path, collateral: CollateralConfig = _OFFLINE) -> None:
        self.now = NOW
        self._directory = directory
        loopback = Address("127.0.0.1", 0)
        self.config = replace(
            CasConfig.in_directory(directory / "cas"),
            api=loopback,
            enclave=loopback,
            metrics=loopback,
            collateral=collateral,
        )
        self.cas = Cas(self.config, clock=lambda: self.now)
        self.owner = Identity.generate("owner")
        self.cas.owner.provision(self.owner.key_hash, self.cas.owner.token or "", "", ConfigFormat.TOML)
        self._server = ThreadedServer(*endpoints(self.cas, self.config))
        self._server.start()
        together = threading.Barrier(WORKERS + 1)
        for _ in range(WORKERS):
            self.cas._workers.submit(together.wait)
        together.wait()
        self.attesters: dict[str, Any] = {name: self._attester(name) for name in ("sgx", "tdx")}

    def close(self) -> None:
        """Stop the CAS."""
        self._server.stop()
        self.cas.close()

    def post(self, name: str, attestation: str) -> None:
        """Make a session."""
        self.cas.sessions.post(SESSION.format(name=name, measurement=MEASUREMENT, attestation=attestation), ALICE)

    def rule(self, platform: str) -> str:
        """Give the rule that accepts the machine."""
        data = bytes(64)
        report = Report(
            measurement=MEASUREMENT, signer=Measurement(bytes(32)), product_id=0, svn=0, debug=False, data=data
        )
        envelope = self.attesters[platform].attest(report).to_json()
        return rule_for(verify(envelope, expected_report_data=data, at=self.now).claims) or ""

    def start(self, platform: str, session: str) -> None:
        """Start the service of a session on a machine."""
        with enclave(Address("127.0.0.1", self._server.ports[1]), self.cas.key_hash) as app:
            app.attester = self.attesters[platform]
            app.attest(session=session)

    @contextmanager
    def client(self, identity: Identity | None = None) -> Iterator[Connection]:
        """Ask as the owner, or as somebody else."""
        address = "127.0.0.1", self._server.ports[0]
        with connect(*address, identity or self.owner, expected_peer=self.cas.key_hash) as connection:
            yield connection

    def ask(self, method: str, path: str, body: bytes = b"") -> Any:
        """Ask as the owner, and give the answer if it is one of success."""
        with self.client() as connection:
            answer = connection.request(method, path, body)
        assert answer.status == 200, answer.body
        return json.loads(answer.body) if answer.headers["content-type"] == "application/json" else answer.body

    def _attester(self, platform: str) -> ReportAttester:
        return rehearse(platform, ALL_WELL, self._directory / "las", machine={}, clock=lambda: self.now)
