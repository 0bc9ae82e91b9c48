"""Quotes of an enclave through Gramine's files, which are files here; the quote is a genuine one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from bannock.errors import EnvironmentFault, InputError
from bannock.evidence.dcap.quote import DcapQuote, SgxReport
from bannock.evidence.envelope import Envelope
from bannock.evidence.gramine import GramineAttester, available
from bannock.evidence.quotes import SgxQuote
from bannock.evidence.report import Report

_DCAP: Final = Path(__file__).parents[2] / "data" / "evidence" / "dcap"
_QUOTE: Final = (_DCAP / "sgx-v3-swhardening.quote").read_bytes()
_ENCLAVE: Final = DcapQuote.parse(_QUOTE).report
_DATA: Final = _ENCLAVE.report_data


def _files(directory: Path, *, scheme: str = "dcap", quote: bytes = _QUOTE) -> Path:
    (directory / "attestation_type").write_text(scheme)
    (directory / "user_report_data").write_bytes(b"")
    (directory / "quote").write_bytes(quote)
    return directory


@pytest.mark.parametrize("padding", [0, 100])
def test_evidence_of_an_enclave(tmp_path: Path, padding: int) -> None:
    """The report is the one in the quote, and nothing else signs it."""
    directory = _files(tmp_path, quote=_QUOTE + bytes(padding))
    assert available(directory) == "sgx"
    envelope = Envelope.from_json(GramineAttester(directory).attest(_DATA).to_json())
    assert (directory / "user_report_data").read_bytes() == _DATA
    assert envelope.signature == envelope.endorsements == b""
    assert isinstance(envelope.quote, SgxQuote)
    assert envelope.quote.quote.startswith(_QUOTE)
    report = Report.from_json(envelope.report)
    assert isinstance(_ENCLAVE, SgxReport)
    assert (report.measurement.value, report.signer.value) == (_ENCLAVE.measurement, _ENCLAVE.signer)
    assert (report.product_id, report.svn, report.debug) == (_ENCLAVE.product_id, _ENCLAVE.svn, False)
    assert report.data == _DATA
    assert report.instance is None


def test_debug_is_told(tmp_path: Path) -> None:
    """A debug enclave says that it is one."""
    quote = (_DCAP / "sgx-v3-debug.quote").read_bytes()
    data = DcapQuote.parse(quote).report.report_data
    envelope = GramineAttester(_files(tmp_path, quote=quote)).attest(data)
    assert Report.from_json(envelope.report).debug


def test_quote_for_something_else_is_not_taken(tmp_path: Path) -> None:
    """A quote that is not bound to what was written is nobody's."""
    with pytest.raises(EnvironmentFault, match="bound to something else"):
        GramineAttester(_files(tmp_path)).attest(b"\x07" * 64)


@pytest.mark.parametrize("scheme", ["none", "epid", "", "dcap2"])
def test_enclave_without_quotes(tmp_path: Path, scheme: str) -> None:
    """Where Gramine was told to make no quotes of the kind, that is said, and what to do."""
    directory = _files(tmp_path, scheme=scheme)
    assert available(directory) is None
    with pytest.raises(EnvironmentFault, match="is of type dcap, found") as refused:
        GramineAttester(directory).attest(_DATA)
    assert "sgx.remote_attestation" in (refused.value.hint or "")


@pytest.mark.parametrize("name", ["attestation_type", "user_report_data", "quote"])
def test_files_that_are_not_there(tmp_path: Path, name: str) -> None:
    """Without any of the files this is no enclave that attests itself."""
    directory = _files(tmp_path)
    (directory / name).unlink()
    if name == "user_report_data":
        (directory / name).mkdir()
    with pytest.raises(EnvironmentFault, match=name):
        GramineAttester(directory).attest(_DATA)
    assert available(tmp_path / "none") is None


@pytest.mark.parametrize("quote", [b"", b"not a quote", _QUOTE[:500], _QUOTE + b"x", _QUOTE * 5])
def test_what_is_no_quote_is_not_taken(tmp_path: Path, quote: bytes) -> None:
    """What comes out of the file is looked at before it is sent anywhere."""
    with pytest.raises(EnvironmentFault, match="quote"):
        GramineAttester(_files(tmp_path, quote=quote)).attest(_DATA)


def test_report_data_have_their_length(tmp_path: Path) -> None:
    """64 bytes are what a quote is bound to."""
    with pytest.raises(InputError, match="64 bytes, found 32"):
        GramineAttester(_files(tmp_path)).attest(os.urandom(32))
