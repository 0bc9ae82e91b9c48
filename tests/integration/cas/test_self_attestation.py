"""``GET /v1/attest`` of a CAS that runs, verified as a client does it."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bannock.cas.self_attestation import SelfAttestation
from bannock.cli import scone_signer
from bannock.errors import EnvironmentFault, EvidenceError
from bannock.evidence.cas_verifier import CasExpectations, verify_cas
from bannock.evidence.modes import Mode
from bannock.evidence.platforms import Places
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.rehearsal.knobs import ALL_WELL
from bannock.evidence.verifier import verify
from bannock.identity.cas_program import cas_measurement
from bannock.identity.debug_key import debug_signing_key
from bannock.identity.signer import NO_SIGNER
from bannock.identity.sigstruct import SigStruct
from bannock.las.rehearsal import rehearse
from bannock.las.service import EmbeddedLas
from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.values import Measurement
from tests.integration.las.make_believe import make_believe_attester
from tests.tsm_kernel import TsmKernel

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cas import EmbeddedCas
    from bannock.las.process import PeerProcess

_NONCE = "0f" * 32
_NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_a_client_attests_a_cas(cas: EmbeddedCas) -> None:
    """Without a certificate, with the measurement of its own installation, over one connection."""
    expected = CasExpectations(mrenclaves=frozenset({cas_measurement()}), allow_simulation=True)
    with connect(*cas.client_address, None, expected_peer=None) as connection:
        answer = connection.request("GET", f"/v1/attest?nonce={_NONCE}")
        assert answer.status == 200
        found = verify_cas(
            answer.body,
            expected,
            nonce=_NONCE,
            exporter=connection.exporter(),
            peer=connection.peer_key_hash,
            at=_NOW,
        )
    assert found.key_hash == cas.key_hash
    assert not found.statement.provisioned


def test_an_attestation_cannot_be_passed_on(cas: EmbeddedCas) -> None:
    """What one connection was answered is no good for another one to the same CAS."""
    with (
        connect(*cas.client_address, None, expected_peer=None) as asked,
        connect(*cas.client_address, None, expected_peer=None) as other,
    ):
        body = asked.request("GET", f"/v1/attest?nonce={_NONCE}").body
        with pytest.raises(EvidenceError, match="another connection"):
            verify_cas(
                body,
                CasExpectations(any_software=True, allow_simulation=True),
                nonce=_NONCE,
                exporter=other.exporter(),
                peer=other.peer_key_hash,
                at=_NOW,
            )


@pytest.mark.parametrize("nonce", ["", "0", "zz", "0f" * 65, "0F"])
def test_a_nonce_is_bytes_in_hexadecimal(cas: EmbeddedCas, nonce: str) -> None:
    """Anything else is the client's fault."""
    with connect(*cas.client_address, None, expected_peer=None) as connection:
        assert connection.request("GET", f"/v1/attest?nonce={nonce}").status == 400


def test_a_las_measures_the_cas_as_the_cas_measures_itself(tmp_path: Path) -> None:
    """Both ways to evidence give one measurement, so that expectations do not depend on how a CAS is set up."""
    identity = Identity.generate("CAS")
    with EmbeddedLas(tmp_path / "las") as las:
        attested = SelfAttestation(identity, las=las.address)
        statement = attested.statement(
            nonce=_NONCE, exporter=b"e", provisioned=True, provisioning_required=False, owner_secret_access=False
        )
        document = attested.document(statement)
    alone = SelfAttestation(identity, las=None)
    assert document["evidence"]["quote"] != alone.document(statement)["evidence"]["quote"]
    assert attested.measurement == alone.measurement


def test_a_cas_has_the_signer_of_its_software(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its own word and by that of a LAS; a signature for other software counts for nothing, and is told."""
    signed, stale = tmp_path / "cas.sigstruct", tmp_path / "stale.sigstruct"
    key = _key(tmp_path)
    options = ["--key", key, "--production", "--isvprodid", "41316", "--isvsvn", "5"]
    assert scone_signer.main(["sign-cas", *options, str(signed)]) == 0
    sigstruct = SigStruct.parse(signed.read_bytes())
    assert sigstruct.measurement == cas_measurement()
    identity, data = Identity.generate("CAS"), bytes(64)
    with EmbeddedLas(tmp_path / "las") as las:
        for address in (None, las.address):
            attested = SelfAttestation(identity, las=address, signed=signed)
            claims = verify(attested.evidence(data), expected_report_data=data, at=_NOW).claims
            assert (claims.signer, claims.product_id, claims.svn) == (sigstruct.signer, 41316, 5)
            assert not claims.debug
    stale.write_bytes(sigstruct.of(Measurement(bytes(32))).sign(debug_signing_key()).to_bytes())
    for path, told in ((stale, "signed for another enclave"), (tmp_path / "key.pem", "larger than the 1808 bytes")):
        attested = SelfAttestation(identity, las=None, signed=path)
        assert verify(attested.evidence(data), expected_report_data=data, at=_NOW).claims.signer == NO_SIGNER
        assert told in caplog.text


def _key(directory: Path) -> str:
    path = directory / "key.pem"
    path.touch(mode=0o600)
    private = rsa.generate_private_key(3, 3072)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


class _Anybody:
    def require_runtime(self, process: PeerProcess) -> None:
        process.require_alive()


def _platform(attestation: SelfAttestation) -> str | None:
    claims = attestation.claims()
    return None if claims is None else claims.platform


def test_what_vouches_for_a_cas_is_what_it_asks_of_another_one(tmp_path: Path) -> None:
    """Simulation and rehearsals alone are no hardware; a CAS on hardware takes no less from others."""
    identity = Identity.generate("CAS")
    assert _platform(SelfAttestation(identity, las=None)) == "sim"
    rehearsed = rehearse("tdx", ALL_WELL, tmp_path / "las", machine={})
    with EmbeddedLas(tmp_path / "las", rehearsed, _Anybody()) as las:
        assert _platform(SelfAttestation(identity, las=las.address)) == "sim"
        insisting = SelfAttestation(identity, las=las.address, mode=Mode.HW)
        with pytest.raises(EnvironmentFault, match=r"SCONE_MODE=hw .* platform sim \(rehearses tdx\)"):
            insisting.evidence(bytes(64))
    # It says that it is a trust domain, and whether it is cannot be told here: so it counts as one.
    with EmbeddedLas(tmp_path / "las", make_believe_attester(), _Anybody()) as las:
        assert _platform(SelfAttestation(identity, las=las.address)) is None


def test_a_cas_that_insists_does_not_start_without_hardware(tmp_path: Path) -> None:
    """What was looked for is told."""
    with pytest.raises(EnvironmentFault, match="no hardware here") as caught:
        SelfAttestation(Identity.generate("CAS"), las=None, mode=Mode.HW, places=Places(tsm=tmp_path / "none"))
    assert any("tdx: there is no" in reason for reason in caught.value.reasons)


@pytest.mark.fuse
@pytest.mark.root
def test_a_cas_in_a_trust_domain_attests_itself(tmp_path: Path) -> None:
    """Its key is made there and vouched for by the kernel's quote; both are made anew when they are old."""
    times = [_NOW]
    vendor = IntelVendor(os.urandom, _NOW)
    identity = Identity.generate("CAS")
    with TsmKernel(tmp_path, "tdx_guest", lambda data, _: (vendor.tdx_quote(data), b"")):
        attested = SelfAttestation(
            identity, las=None, mode=Mode.AUTO, clock=lambda: times[0], places=Places(tsm=tmp_path)
        )
        first = attested.evidence(bytes(64))
        again = attested.evidence(bytes(64))
        times[0] += dt.timedelta(hours=13)
        later = attested.evidence(bytes(64))
    times[0] += dt.timedelta(hours=13)
    without = attested.evidence(bytes(64))
    assert first == again != later
    assert later == without
    found = verify(later, expected_report_data=bytes(64), at=_NOW, endorsements=vendor.endorsements())
    assert (found.claims.rehearses, found.claims.measurement) == ("tdx", cas_measurement())
