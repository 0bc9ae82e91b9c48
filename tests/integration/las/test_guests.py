"""A LAS in a guest: from the kernel's directory for quotes to the verdict on an enclave that was measured."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault, EvidenceError
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.las_client import LasClient
from bannock.evidence.modes import Mode
from bannock.evidence.platforms import Places, choose
from bannock.evidence.rehearsal.amd import AmdVendor
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.verifier import verify
from bannock.identity.manifest import EnclaveManifest
from bannock.las.service import EmbeddedLas
from tests.tsm_kernel import TsmKernel

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bannock.evidence.endorsements import Endorsements
    from bannock.las.process import PeerProcess

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
_DATA: Final = bytes(range(64))
_SHELL: Final = EnclaveManifest(binary="/bin/sh", settings={})


class _Anybody:
    def require_runtime(self, process: PeerProcess) -> None:
        process.require_alive()


def _no_key() -> Ed25519PrivateKey:
    raise AssertionError("the key of simulation was asked for")


def _guest(platform: str, directory: Path) -> tuple[TsmKernel, Endorsements]:
    """Give a kernel in a guest, and what a verifier needs beside what the guest sends."""
    directory.mkdir()
    if platform == "tdx":
        intel = IntelVendor(os.urandom, _AT)
        return TsmKernel(directory, "tdx_guest", lambda data, _: (intel.tdx_quote(data), b"")), intel.endorsements()
    amd = AmdVendor(os.urandom, _AT)
    kernel = TsmKernel(directory, "sev_guest", lambda data, _: (amd.snp_report(data), b""))
    return kernel, amd.endorsements()


@pytest.mark.parametrize("platform", ["tdx", "sev-snp"])
def test_guest_to_the_verdict(platform: str, tmp_path: Path) -> None:
    """The guest is found out, its quote vouches for the key of the LAS, and that for what the LAS measured."""
    kernel, endorsements = _guest(platform, tmp_path / "tsm")
    with kernel:
        chosen = choose(Mode.HW, None, Places(tsm=tmp_path / "tsm"), _no_key)
        assert chosen.attester.platform == platform
        assert f"{platform}: " in chosen.reason
        with EmbeddedLas(tmp_path / "las", chosen.attester, _Anybody()) as las:
            client = LasClient(las.address)
            before, tree = client.report(_SHELL, _DATA)
            chosen.attester.renew()
            after, _ = client.report(_SHELL, _DATA)
    found = [
        verify(evidence, expected_report_data=_DATA, at=_AT, endorsements=endorsements) for evidence in (before, after)
    ]
    assert {each.claims.measurement for each in found} == {tree.root}
    assert {each.claims.rehearses for each in found} == {platform}
    assert len({each.claims.machine_id for each in found}) == 1
    assert len({each.attester for each in found}) == 2


def test_evidence_of_a_guest_needs_its_vendor(tmp_path: Path) -> None:
    """Where the host hands no certificates along and the verifier has none, it says which is missing."""
    kernel, _ = _guest("sev-snp", tmp_path / "tsm")
    with kernel:
        chosen = choose(Mode.AUTO, "sev-snp", Places(tsm=tmp_path / "tsm"), _no_key)
        with EmbeddedLas(tmp_path / "las", chosen.attester, _Anybody()) as las:
            evidence, _ = LasClient(las.address).report(_SHELL, _DATA)
    with pytest.raises(EvidenceError, match="no certificate SEV-VCEK of chip") as refused:
        verify(evidence, expected_report_data=_DATA, at=_AT, endorsements=NO_ENDORSEMENTS)
    assert "kdsintf.amd.com" in (refused.value.hint or "")


def test_guest_of_another_platform(tmp_path: Path) -> None:
    """Who asks for one platform does not get another, and is told what there is."""
    kernel, _ = _guest("tdx", tmp_path / "tsm")
    with kernel, pytest.raises(EnvironmentFault, match="no sev-snp here") as refused:
        choose(Mode.AUTO, "sev-snp", Places(tsm=tmp_path / "tsm"), _no_key)
    assert "is of tdx" in refused.value.reasons[0]
