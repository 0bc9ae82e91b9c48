"""An attested session with a real CAS and a real LAS: the tags that it moves, and what a lost connection changes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from bannock.cas import Cas, CasConfig
from bannock.errors import ConflictError, DeniedError
from bannock.identity.manifest import EnclaveManifest
from bannock.las.service import EmbeddedLas
from bannock.net.address import Address
from bannock.net.server import ThreadedServer
from bannock.runtime.attest import AttestedSession, FspfTagKeeper, VolumeTag
from bannock.runtime.settings import Attestation
from bannock.values import FspfTag, KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.cas.records import FspfState

_ALICE: Final = KeyHash(b"a" * 32)
_FIRST, _ONE, _TWO, _THREE = (FspfTag(letter * 16) for letter in (b"0", b"1", b"2", b"3"))
_SESSION: Final = """
name: demo
version: "0.3.11"
{predecessor}
services:
  - {{name: app, image_name: image, command: app, fspf_path: /main.fspf, fspf_key: {key}, {state}}}
images: [{{name: image, volumes: [{{name: data, path: /data, update_policy: {policy}}}]}}]
volumes: [{{name: data, fspf_key: {key}, fspf_tag: {first}}}]
security: {{attestation: {{mode: none}}}}
"""


class Services:
    """A CAS that can be stopped and started at the same address, and a LAS."""

    def __init__(self, directory: Path, las: EmbeddedLas) -> None:
        self._files = CasConfig.in_directory(directory / "cas")
        self._enclave = Address("127.0.0.1", 0)
        self._las = las
        self.start()

    def start(self) -> None:
        """Listen."""
        config = CasConfig(
            database=self._files.database,
            master_key=self._files.master_key,
            api=Address("127.0.0.1", 0),
            enclave=self._enclave,
        )
        self.cas = Cas(config)
        self._server = ThreadedServer(*self.cas.endpoints(config))
        self._server.start()
        self._enclave = Address("127.0.0.1", self._server.ports[1])

    def stop(self) -> None:
        """End every connection."""
        self._server.stop()
        self.cas.close()

    def restart(self) -> None:
        """End every connection, and listen again."""
        self.stop()
        self.start()

    def post(self, *, key: str = "aa", policy: str = "rollback_protected", predecessor: str = "") -> str:
        """Make the session, or its next version."""
        free = policy == "no_rollback_protection"
        text = _SESSION.format(
            predecessor=f"predecessor: {predecessor}" if predecessor else "",
            key=key * 32,
            state="fspf_update_policy: no_rollback_protection" if free else f"fspf_tag: {_FIRST}",
            policy=policy,
            first=_FIRST,
        )
        return self.cas.sessions.post(text, _ALICE)

    @contextmanager
    def attested(self) -> Iterator[AttestedSession]:
        """Attest this process."""
        wanted = Attestation(
            cas=self._enclave, cas_key=self.cas.key_hash, las=self._las.address, session="demo", service="app"
        )
        manifest = EnclaveManifest(binary="/bin/sh", settings={})
        with AttestedSession.establish(wanted, manifest, lambda _tree, _platform: None) as session:
            yield session

    def states(self) -> tuple[FspfTag | None, FspfTag | None]:
        """Give the states of the volume and of the main protection file."""
        with self.cas.store.reading() as view:
            volume, main = view.volume("demo", "data"), view.fspf("demo", "app")
        return _tag(volume), _tag(main)


def _tag(state: FspfState | None) -> FspfTag | None:
    return None if state is None else state.tag


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Give a CAS and a LAS."""
    with EmbeddedLas(tmp_path / "las") as las:
        running = Services(tmp_path, las)
        yield running
        running.stop()


def test_keepers_move_the_tags_of_their_files(services: Services) -> None:
    """The volume's and the main protection file's are two, and each moves on by itself."""
    services.post()
    with services.attested() as session:
        volume, main = VolumeTag(session, "data"), FspfTagKeeper(session)
        volume.advance(_FIRST, _ONE)
        main.advance(_FIRST, _TWO)
        assert services.states() == (_ONE, _TWO)
        main.advance(_TWO, _THREE)
        assert services.states() == (_ONE, _THREE)
        for keeper in (volume, main):
            with pytest.raises(ConflictError, match="expected"):
                keeper.advance(_TWO, FspfTag(b"4" * 16))


def test_a_lost_connection_is_made_anew(services: Services) -> None:
    """After a restart of the CAS both go on from where they were."""
    services.post()
    with services.attested() as session:
        session.advance_fspf(_FIRST, _ONE)
        services.restart()
        session.advance_fspf(_ONE, _TWO)
        services.restart()
        session.advance("data", _FIRST, _THREE)
        assert services.states() == (_THREE, _TWO)


@pytest.mark.parametrize("policy", ["rollback_protected", "no_rollback_protection"])
def test_what_an_update_replaced_is_not_committed(services: Services, policy: str) -> None:
    """States of the old file are not told for states of the new one, although the name is the same.

    Without rollback protection nobody would compare, and the volume would be locked for services with it.
    """
    digest = services.post(policy=policy)
    with services.attested() as session:
        services.post(policy=policy, key="bb", predecessor=digest)
        before = services.states()
        for lost in (False, True):
            if lost:
                services.restart()
            for advance in (session.advance_fspf, lambda old, new: session.advance("data", old, new)):
                with pytest.raises(ConflictError, match="replaced by an update of session demo"):
                    advance(_FIRST, _ONE)
                assert services.states() == before


def test_a_volume_that_an_update_made_ephemeral_is_not_committed(services: Services) -> None:
    """Whoever is attested anew is under the rules of the newest version."""
    digest = services.post()
    with services.attested() as session:
        services.post(policy="ephemeral", predecessor=digest)
        session.advance("data", _FIRST, _ONE)
        services.restart()
        with pytest.raises(DeniedError, match="update_policy ephemeral"):
            session.advance("data", _ONE, _TWO)
        assert services.states() == (_ONE, _FIRST)
