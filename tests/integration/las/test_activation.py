"""Challenges of authorities, as a LAS takes them: from anybody, and to nobody's use but its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bannock.errors import DeniedError, InputError
from bannock.evidence.las_client import LasClient
from bannock.evidence.platforms import MachineAttester
from bannock.evidence.tpm.activation import CHALLENGE_BYTES_MAX, Challenge
from bannock.evidence.tpm.attester import TpmReporter
from bannock.las.service import EmbeddedLas
from tests.integration.las.make_believe import make_believe_attester
from tests.software_tpm import NEEDS_TPM, SoftwareTpm
from tests.unit.evidence.tpm.samples import attestation_key

if TYPE_CHECKING:
    from pathlib import Path


def _challenge() -> bytes:
    somebody = ec.generate_private_key(ec.SECP256R1()).public_key()
    return Challenge.make(somebody, attestation_key(), b"certificate", os.urandom).to_json()


def test_what_has_no_key_to_be_activated_says_so(tmp_path: Path) -> None:
    """Platform sim, and hardware whose vendor vouches for its key by itself."""
    for name, attester in (("sim", None), ("tdx", make_believe_attester())):
        refused = pytest.raises(DeniedError, match=f"platform {name} has no key that had to be activated")
        with EmbeddedLas(tmp_path / name, attester) as las, refused:
            LasClient(las.address).activate(_challenge())


@NEEDS_TPM
def test_challenges_for_others_change_nothing(tmp_path: Path) -> None:
    """The LAS goes on with the key and the quote that it has; what is no challenge is refused as such."""
    with SoftwareTpm() as tpm:
        reporter = TpmReporter(tpm.tcti, pcrs="sha256:0", event_log=None)
        with EmbeddedLas(tmp_path, MachineAttester(reporter, platform="tpm")) as las:
            client = LasClient(las.address)
            before = client.platform()
            with pytest.raises(DeniedError, match="is for another TPM: this one has no such endorsement key"):
                client.activate(_challenge())
            for wrong, reason in (
                (b"", "the challenge is malformed"),
                (b"{}", "the challenge is malformed"),
                (b" " + _challenge(), "not in its canonical form"),
                (bytes(CHALLENGE_BYTES_MAX + 1), "a challenge has at most"),
            ):
                with pytest.raises(DeniedError, match=reason):
                    client.activate(wrong)
            assert client.platform() == before


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"challenge": 1}', b'{"challenge": "*"}', b'{"challenge": "", "more": 1}']
)
def test_other_requests_are_refused(tmp_path: Path, body: bytes) -> None:
    """Before anybody looks at what they ask for."""
    with (
        EmbeddedLas(tmp_path, make_believe_attester()) as las,
        LasClient(las.address)._connected() as (connection, _),
        pytest.raises(InputError, match=r"a request|the request"),
    ):
        LasClient(las.address)._asked(connection, "POST", "/v1/activate", body)
