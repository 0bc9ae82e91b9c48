"""``GET /v1/attest`` of a CAS that runs, verified as a client does it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from bannock.cas.self_attestation import SelfAttestation
from bannock.errors import EvidenceError
from bannock.evidence.cas_verifier import CasExpectations, verify_cas
from bannock.identity.cas_program import cas_measurement
from bannock.las.service import EmbeddedLas
from bannock.net.client import connect
from bannock.net.tls import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cas import EmbeddedCas

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
