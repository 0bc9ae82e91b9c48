"""A runtime, a LAS with a TPM (of software) and a CAS: the TPM proves itself, and every attack on that is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bannock.cas import Cas, CasConfig
from bannock.cas.serving import endpoints
from bannock.errors import DeniedError, causes
from bannock.evidence.attester import key_binding
from bannock.evidence.platforms import MachineAttester
from bannock.evidence.rehearsal.tpm import quoted_by
from bannock.evidence.tpm.attester import TpmReporter
from bannock.evidence.tpm.quoted import pcrs_from_json
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.las.service import EmbeddedLas
from bannock.net.address import Address
from bannock.net.server import ThreadedServer
from bannock.runtime.attest import AttestedSession
from bannock.runtime.settings import Attestation
from bannock.values import KeyHash
from tests.software_tpm import NEEDS_TPM, SoftwareTpm
from tests.unit.evidence.tpm.samples import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.evidence.quotes import TpmQuote
    from bannock.las.process import PeerProcess

pytestmark = NEEDS_TPM
_ALICE: Final = KeyHash(b"a" * 32)
_NOW: Final = dt.datetime.now(dt.UTC)
_MANUFACTURER: Final = Authority("manufacturer", at=_NOW, days=(-1, 400))
_MANIFEST: Final = EnclaveManifest(binary="/bin/sh", settings={})
_SESSION: Final = """
name: {name}
version: "0.3.11"
services: [{{name: app, image_name: image, command: app, mrenclaves: [{measurement}]}}]
images: [{{name: image}}]
security: {{attestation: {{mode: hardware, machines: [{{tpm: {rule}}}]}}}}
"""


class _Anybody:
    """Gives reports to this process, too, which is no runtime."""

    def require_runtime(self, process: PeerProcess) -> None:
        """Say nothing."""


class _Site:
    """A CAS that trusts one manufacturer of TPMs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trusts = directory / "roots"
        self.trusts.mkdir()
        (self.trusts / "manufacturer.der").write_bytes(_MANUFACTURER.root)
        self.start()

    def start(self, later: dt.timedelta = dt.timedelta()) -> None:
        """Listen."""
        loopback = Address("127.0.0.1", 0)
        files = CasConfig.in_directory(self.directory / "cas")
        config = dataclasses.replace(files, api=loopback, enclave=loopback, tpm_roots=self.trusts)
        self.cas = Cas(config, clock=lambda: dt.datetime.now(dt.UTC) + later)
        self._server = ThreadedServer(*endpoints(self.cas, config))
        self._server.start()

    def stop(self) -> None:
        """End."""
        self._server.stop()
        self.cas.close()

    def post(self, tpm: SoftwareTpm, name: str = "demo", rule: str = "") -> None:
        """Make a session for a machine like this one."""
        value = tpm.run("tpm2_pcrread", "sha256:16").decode().partition("0x")[2].split()[0].lower()
        measured = measure(_MANIFEST, RootedReader(Path("/"), None), runtime_build()).root
        text = _SESSION.format(
            name=name, measurement=measured, rule=rule or f"{{pcrs: {{sha256: {{16: '{value}'}}}}}}"
        )
        self.cas.sessions.post(text, _ALICE)

    @contextmanager
    def attested(self, las: EmbeddedLas, session: str = "demo") -> Iterator[AttestedSession]:
        """Attest this process."""
        address = Address("127.0.0.1", self._server.ports[1])
        wanted = Attestation(cas=address, cas_key=self.cas.key_hash, las=las.address, session=session, service="app")
        with AttestedSession.establish(wanted, _MANIFEST, lambda _: None) as attested:
            yield attested

    def refused(self, las: EmbeddedLas, session: str = "demo") -> str:
        """Attest this process, which is to be refused, and give the reasons."""
        with pytest.raises(DeniedError) as refused, self.attested(las, session):
            pass
        found = (line for cause in causes(refused.value) for line in (str(cause), *getattr(cause, "reasons", ())))
        return "\n".join(found)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Give the entries of one kind in the audit log."""
        return [json.loads(json.dumps(entry.facts)) for entry in self.cas.audit_log() if entry.event == event]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[_Site]:
    """A CAS."""
    running = _Site(tmp_path)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftwareTpm]:
    """The TPM of the machine, whose manufacturer is trusted."""
    with SoftwareTpm() as running:
        running.certify(_MANUFACTURER, days=(-1, 200))
        yield running


@contextmanager
def _las(
    tpm: SoftwareTpm, directory: Path, change: Callable[[TpmQuote], TpmQuote] = lambda quote: quote
) -> Iterator[EmbeddedLas]:
    """A LAS with a TPM; an attacker may change its quotes."""

    class _Reporter(TpmReporter):
        def quote(self, key: bytes) -> tuple[TpmQuote, bytes]:
            quote, endorsements = super().quote(key)
            return change(quote), endorsements

    reporter = _Reporter(tpm.tcti, directory=directory / "tpm", pcrs="sha256:0,16", event_log=None)
    with EmbeddedLas(directory / "las", MachineAttester(reporter, platform="tpm"), _Anybody()) as las:
        yield las


def test_a_tpm_proves_itself_once(site: _Site, tpm: SoftwareTpm, tmp_path: Path) -> None:
    """At the first start; later starts and a restarted LAS need no challenge. The audit log names the machine."""
    site.post(tpm)
    with _las(tpm, tmp_path) as las:
        for _ in range(2):
            with site.attested(las) as attested:
                assert attested.configuration.argv == ("app",)
    with _las(tpm, tmp_path) as las, site.attested(las):
        pass
    assert len(site.told("service_refused")) == 1
    assert "it has to be activated" in "\n".join(site.told("service_refused")[0]["reasons"])
    attested_ones = site.told("service_attested")
    assert len(attested_ones) == 3
    assert {entry["platform"] for entry in attested_ones} == {"tpm"}
    assert len({entry["machine"] for entry in attested_ones}) == 1
    assert attested_ones[0]["machine"]


def test_a_certificate_that_expires_is_renewed(site: _Site, tpm: SoftwareTpm, tmp_path: Path) -> None:
    """The TPM proves itself again, as long as its manufacturer vouches for it."""
    site.post(tpm)
    with _las(tpm, tmp_path) as las:
        with site.attested(las):
            pass
        for days, refusals in ((89, 1), (91, 2)):
            site.stop()
            site.start(dt.timedelta(days=days))
            with site.attested(las):
                pass
            assert len(site.told("service_refused")) == refusals
        site.stop()
        site.start(dt.timedelta(days=201))
        reasons = site.refused(las)
        assert "no manufacturer who is trusted here vouches for the TPM" in reasons
        assert "the certificate of CN=TPM of software is valid from" in reasons


def test_a_machine_that_was_started_in_another_way_is_refused(site: _Site, tpm: SoftwareTpm, tmp_path: Path) -> None:
    """The attack: a register has changed; the quote is new, or it is the old one that still told of the good start."""
    site.post(tpm)
    with _las(tpm, tmp_path) as las:
        with site.attested(las):
            pass
        good = las_quote(tpm, tmp_path)
        tpm.run("tpm2_pcrextend", f"16:sha256={'11' * 32}")
        try:
            with _las(tpm, tmp_path) as renewed:
                assert "Unexpected machine (PCR 16 (sha256)" in site.refused(renewed)
            # The old quote vouches for the key of another LAS, which has ended.
            with _las(tpm, tmp_path, lambda quote: dataclasses.replace(good, key=quote.key)) as replaying:
                assert "vouches for another key than the one that signed the report" in site.refused(replaying)
            # The values of the good start, beside the quote of the bad one.
            with _las(tpm, tmp_path, lambda quote: dataclasses.replace(quote, pcrs=good.pcrs)) as lying:
                assert "do not give the digest that the TPM quotes" in site.refused(lying)
        finally:
            tpm.run("tpm2_pcrreset", "16")


def las_quote(tpm: SoftwareTpm, directory: Path) -> TpmQuote:
    """A quote of the TPM, for a key that nobody has any more."""
    reporter = TpmReporter(tpm.tcti, directory=directory / "tpm", pcrs="sha256:0,16", event_log=None)
    return reporter.quote(b"key")[0]


def test_a_key_outside_of_the_tpm_is_refused(site: _Site, tpm: SoftwareTpm, tmp_path: Path) -> None:
    """The attack: the host signs the quote that it would like to have, and shows the TPM's endorsement certificate."""
    site.post(tpm)
    outside = ec.generate_private_key(ec.SECP256R1())

    def forged(quote: TpmQuote) -> TpmQuote:
        values = pcrs_from_json(quote.pcrs)["sha256"]
        attest, signature, public = quoted_by(outside, key_binding(quote.key)[:32], values)
        return dataclasses.replace(quote, attest=attest, signature=signature, ak_public=public)

    with _las(tpm, tmp_path, forged) as las:
        assert "the TPM does not open the challenge" in site.refused(las)


def test_the_endorsement_certificate_of_another_machine_is_of_no_use(
    site: _Site, tpm: SoftwareTpm, tmp_path: Path
) -> None:
    """The attack: a machine whose TPM nobody vouches for shows the certificate of a good one."""
    site.post(tpm)
    certificates = las_quote(tpm, tmp_path).ek_certificates
    with SoftwareTpm() as other:
        with _las(other, tmp_path / "other") as honest:
            assert "the TPM came without a certificate of its endorsement key" in site.refused(honest)
        borrowed = _las(
            other, tmp_path / "other", lambda quote: dataclasses.replace(quote, ek_certificates=certificates)
        )
        with borrowed as las:
            assert "is for another TPM: this one has no such endorsement key" in site.refused(las)


def test_another_manufacturer_is_not_trusted(site: _Site, tmp_path: Path) -> None:
    """Its certificates are in order, and nobody has named it."""
    with SoftwareTpm() as other:
        other.certify(Authority("another manufacturer", at=_NOW))
        site.post(other)
        with _las(other, tmp_path) as las:
            reasons = site.refused(las)
        assert "no manufacturer who is trusted here vouches for the TPM" in reasons
        assert "no authority that is known here has issued the certificate of the endorsement key" in reasons


def test_a_tpm_that_its_manufacturer_has_revoked_is_refused(site: _Site, tmp_path: Path) -> None:
    """As soon as it has to prove itself again."""
    with SoftwareTpm() as bad:
        certificate = bad.certify(_MANUFACTURER)
        site.post(bad)
        site.stop()
        (site.trusts / "manufacturer.crl").write_bytes(_MANUFACTURER.revoke(certificate))
        site.start()
        with _las(bad, tmp_path) as las:
            assert "was revoked by CN=manufacturer" in site.refused(las)


def test_a_certificate_of_another_cas_is_no_better_than_none(site: _Site, tpm: SoftwareTpm, tmp_path: Path) -> None:
    """Each CAS believes what has proven itself to it; and one LAS has certificates of both."""
    site.post(tpm)
    (tmp_path / "second").mkdir()
    second = _Site(tmp_path / "second")
    try:
        second.post(tpm)
        with _las(tpm, tmp_path) as las:
            for each in (site, second, site, second):
                with each.attested(las):
                    pass
    finally:
        second.stop()
    assert [len(each) for each in (site.told("service_refused"), site.told("service_attested"))] == [1, 2]
