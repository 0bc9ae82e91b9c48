"""Who gives evidence of a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from bannock.evidence.dcap.quote import DcapQuote, SgxReport
from bannock.evidence.envelope import Envelope
from bannock.evidence.modes import Mode
from bannock.identity.manifest import EnclaveManifest
from bannock.runtime.attester import EnclaveAttester, LasAttester, attester_of

_QUOTE: Final = Path(__file__).parents[2] / "data" / "evidence" / "dcap" / "sgx-v3-swhardening.quote"
_SHELL: Final = EnclaveManifest(binary="/bin/sh", settings={})


def _gramine(directory: Path, scheme: str) -> Path:
    (directory / "attestation_type").write_text(scheme)
    (directory / "user_report_data").touch()
    (directory / "quote").write_bytes(_QUOTE.read_bytes())
    return directory


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.HW])
def test_an_enclave_attests_itself(tmp_path: Path, mode: Mode) -> None:
    """No LAS is asked, and the measurement is the hardware's."""
    report = DcapQuote.parse(_QUOTE.read_bytes()).report
    attester = attester_of("localhost:1", mode, _gramine(tmp_path, "dcap"))
    assert isinstance(attester, EnclaveAttester)
    attested = attester.attest(_SHELL, report.report_data)
    assert isinstance(report, SgxReport)
    assert attested.measurement.value == report.measurement
    assert (attested.platform, attested.tree) == ("sgx", None)
    assert Envelope.from_json(attested.evidence).quote.platform == "sgx"
    attester.close()


def test_what_is_no_enclave_asks_the_las(tmp_path: Path) -> None:
    """So does an enclave that has no quotes, and one that is told to do without."""
    assert isinstance(attester_of("localhost", Mode.AUTO, tmp_path / "none"), LasAttester)
    assert isinstance(attester_of("localhost", Mode.SIM, _gramine(tmp_path, "dcap")), LasAttester)
    assert isinstance(attester_of("localhost", Mode.HW, _gramine(tmp_path, "none")), LasAttester)
