"""A CAS and a LAS for runtimes, with a session that has a volume and a main protection file."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bannock.cas import Cas, CasConfig
from bannock.cas.serving import endpoints
from bannock.evidence.las_client import LasClient
from bannock.evidence.report import REPORT_DATA_BYTES
from bannock.identity.manifest import EnclaveManifest
from bannock.net.address import Address
from bannock.net.server import ThreadedServer
from bannock.runtime.attest import AttestedSession
from bannock.runtime.settings import Attestation
from bannock.values import FspfTag, KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.cas.records import FspfState
    from bannock.las.service import EmbeddedLas

__all__ = ["FIRST", "Services"]

_ALICE: Final = KeyHash(b"a" * 32)
FIRST: Final = FspfTag(b"0" * 16)
_MANIFEST: Final = EnclaveManifest(binary="/bin/sh", settings={})
_SESSION: Final = """
name: demo
version: "0.3.11"
{predecessor}
services:
  - {{name: app, image_name: image, command: app, fspf_path: /main.fspf, fspf_key: {key}, {state}{trusted}}}
images: [{{name: image, volumes: [{{name: data, path: /data, update_policy: {policy}}}]}}]
volumes: [{{name: data, fspf_key: {key}, fspf_tag: {first}}}]
security: {{attestation: {{{mode}, {attestation}}}, {security}}}
"""


class Services:
    """A CAS that can be stopped and started at the same address, and a LAS.

    Attributes:
        address: of the enclave interface.
    """

    def __init__(self, directory: Path, las: EmbeddedLas) -> None:
        self._files = CasConfig.in_directory(directory / "cas")
        self.address = Address("127.0.0.1", 0)
        self._las = las
        self.start()

    def start(self) -> None:
        """Listen."""
        config = CasConfig(
            database=self._files.database,
            master_key=self._files.master_key,
            api=Address("127.0.0.1", 0),
            enclave=self.address,
        )
        self.cas = Cas(config)
        self._server = ThreadedServer(*endpoints(self.cas, config))
        self._server.start()
        self.address = Address("127.0.0.1", self._server.ports[1])

    def stop(self) -> None:
        """End every connection."""
        self._server.stop()
        self.cas.close()

    def restart(self) -> None:
        """End every connection, and listen again."""
        self.stop()
        self.start()

    def post(
        self,
        *,
        key: str = "aa",
        policy: str = "rollback_protected",
        predecessor: str = "",
        attestation: str = "",
        security: str = "",
        measured: bool = False,
    ) -> str:
        """Make the session, or its next version; ``measured`` trusts what this process is measured to be alone."""
        free = policy == "no_rollback_protection"
        text = _SESSION.format(
            predecessor=f"predecessor: {predecessor}" if predecessor else "",
            key=key * 32,
            state="fspf_update_policy: no_rollback_protection" if free else f"fspf_tag: {FIRST}",
            policy=policy,
            first=FIRST,
            attestation=attestation,
            mode="tolerate: [simulation]" if measured else "mode: none",
            trusted=f", attestation: {{mrenclave: {self._measurement()}}}" if measured else "",
            security=security,
        )
        return self.cas.sessions.post(text, _ALICE)

    @contextmanager
    def attested(self, **changes: Any) -> Iterator[AttestedSession]:
        """Attest this process; ``changes`` are to whom and as what."""
        wanted = replace(
            Attestation(
                cas=self.address, cas_key=self.cas.key_hash, las=self._las.address, session="demo", service="app"
            ),
            **changes,
        )
        with AttestedSession.establish(wanted, _MANIFEST, lambda _attested: None) as session:
            yield session

    def _measurement(self) -> str:
        _, tree = LasClient(self._las.address).report(_MANIFEST, bytes(REPORT_DATA_BYTES))
        return str(tree.root)

    def states(self) -> tuple[FspfTag | None, FspfTag | None]:
        """Give the states of the volume and of the main protection file."""
        with self.cas.store.reading() as view:
            volume, main = view.volume("demo", "data"), view.fspf("demo", "app")
        return _tag(volume), _tag(main)


def _tag(state: FspfState | None) -> FspfTag | None:
    return None if state is None else state.tag
