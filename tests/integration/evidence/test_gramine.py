"""From Gramine's files to the verdict, with a make-believe Intel behind them."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault, EvidenceError
from bannock.evidence.appraisal import EnclaveIdentity
from bannock.evidence.gramine import GramineAttester, available
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.values import Measurement
from tests.gramine_files import GramineFiles

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.evidence.envelope import Envelope

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
_ENCLAVE: Final = EnclaveIdentity(
    measurement=Measurement(b"\x0a" * 32), signer=Measurement(b"\x0b" * 32), product_id=3, svn=4
)
_DATA: Final = bytes(range(64))


@pytest.fixture(scope="module")
def vendor() -> IntelVendor:
    """A make-believe Intel."""
    return IntelVendor(os.urandom, _AT)


def test_enclave_to_the_verdict(tmp_path: Path, vendor: IntelVendor) -> None:
    """Measurement, signer, product and version are those of the quote; no LAS has a part in it."""
    with GramineFiles(tmp_path, lambda data: vendor.sgx_quote(data, _ENCLAVE)):
        assert available(tmp_path) == "sgx"
        envelope = GramineAttester(tmp_path).attest(_DATA).to_json()
    found = verify(envelope, expected_report_data=_DATA, at=_AT, endorsements=vendor.endorsements())
    claims = found.claims
    assert (claims.platform, claims.rehearses, claims.attester) == ("sim", "sgx", None)
    assert (claims.measurement, claims.signer) == (_ENCLAVE.measurement, _ENCLAVE.signer)
    assert (claims.product_id, claims.svn, claims.debug) == (3, 4, False)
    with pytest.raises(EvidenceError, match="another attestation"):
        verify(envelope, expected_report_data=bytes(64), at=_AT, endorsements=vendor.endorsements())


def test_threads_of_one_enclave(tmp_path: Path, vendor: IntelVendor) -> None:
    """The files are one for all threads; each gets the quote for what it asked for."""
    found: dict[bytes, Envelope] = {}

    def ask(data: bytes) -> None:
        found[data] = GramineAttester(tmp_path).attest(data)

    with GramineFiles(tmp_path, lambda data: vendor.sgx_quote(data, _ENCLAVE)):
        threads = [threading.Thread(target=ask, args=(bytes([number]) * 64,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {data: Report.from_json(envelope.report).data for data, envelope in found.items()} == {
        bytes([number]) * 64: bytes([number]) * 64 for number in range(6)
    }


def test_enclave_that_makes_no_quotes(tmp_path: Path, vendor: IntelVendor) -> None:
    """An enclave whose manifest does not ask for DCAP has the type alone."""
    with GramineFiles(tmp_path, lambda data: vendor.sgx_quote(data, _ENCLAVE), scheme="none"):
        assert available(tmp_path) is None
        with pytest.raises(EnvironmentFault, match="of type dcap, found none"):
            GramineAttester(tmp_path).attest(_DATA)


def test_quoting_that_fails(tmp_path: Path) -> None:
    """Where the quoting service of the host does not answer, reading the quote fails, and that is told."""

    def fail(_: bytes) -> bytes:
        raise OSError(11, "no service")

    with GramineFiles(tmp_path, fail), pytest.raises(EnvironmentFault, match="quote cannot be read"):
        GramineAttester(tmp_path).attest(_DATA)
