"""Genuine quotes on their way from the envelope to the decision of a session."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.errors import DeniedError, EvidenceError
from bannock.evidence.attester import KeyAttester
from bannock.evidence.dcap.quote import DcapQuote, SgxReport
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import SgxQuote, TdxQuote
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.policy import decide_enclave
from bannock.values import Measurement
from tests.unit.evidence.dcap.samples import collateral, quote, time_of
from tests.unit.policy.documents import parse

if TYPE_CHECKING:
    from bannock.evidence.appraisal import Appraisal


def _report(name: str) -> Report:
    told = DcapQuote.parse(quote(name)).report
    assert isinstance(told, SgxReport)
    return Report(
        measurement=Measurement(told.measurement),
        signer=Measurement(told.signer),
        product_id=told.product_id,
        svn=told.svn,
        debug=told.debug,
        data=told.report_data,
    )


def _verified(name: str, report: Report, *, signature: bytes = b"") -> Appraisal:
    envelope = Envelope(
        report=report.to_json(),
        quote=SgxQuote(quote=quote(name)),
        signature=signature,
        endorsements=Endorsements(dcap=(collateral(name),)).to_json(),
    )
    return verify(envelope.to_json(), expected_report_data=report.data, at=time_of(name))


def _decide(found: Appraisal, tolerate: str, ignore: str = "") -> None:
    session = parse(
        attestation=f"mrenclaves: [{found.claims.measurement}]",
        rest=f"security: {{attestation: {{tolerate: [{tolerate}], ignore_advisories: [{ignore}]}}}}",
    )
    decide_enclave(session, "main", found.claims)


def test_weak_platform() -> None:
    """A genuine enclave on a weak platform is accepted where the weakness and its advisory are, and not elsewhere."""
    found = _verified("sgx-v3-swhardening", _report("sgx-v3-swhardening"))
    assert (found.claims.platform, found.claims.rehearses, found.claims.debug) == ("sgx", None, False)
    assert found.warnings == ()
    _decide(found, "software-hardening-needed", "INTEL-SA-00615")
    for tolerate, ignore, reason in (
        ("", "INTEL-SA-00615", "(software-hardening-needed, true)"),
        ("software-hardening-needed", "", "Unexpected advisory (INTEL-SA-00615, applies)"),
        ("simulation, outdated-tcb, debug-mode", "INTEL-SA-00615", "(software-hardening-needed, true)"),
    ):
        with pytest.raises(DeniedError) as raised:
            _decide(found, tolerate, ignore)
        assert any(reason in each for each in raised.value.reasons)


def test_debug_enclave() -> None:
    """A genuine debug enclave is accepted in debug mode alone."""
    found = _verified("sgx-v3-debug", _report("sgx-v3-debug"))
    weak = "software-hardening-needed, insecure-configuration"
    advisories = "INTEL-SA-00289, INTEL-SA-00615"
    _decide(found, f"{weak}, debug-mode", advisories)
    with pytest.raises(DeniedError) as raised:
        _decide(found, f"{weak}, simulation", advisories)
    assert any("Unexpected enclave mode (DEBUG, true)" in each for each in raised.value.reasons)


def test_report_is_the_one_in_the_quote() -> None:
    """Nothing of a report can be other than what the quote says, and nobody else signs it."""
    report = _report("sgx-v3-debug")
    changes: tuple[dict[str, object], ...] = (
        {"measurement": Measurement(b"\1" * 32)},
        {"signer": Measurement(b"\1" * 32)},
        {"product_id": report.product_id ^ 1},
        {"svn": report.svn ^ 1},
        {"debug": not report.debug},
        {"data": bytes(64)},
        {"instance": bytes(32)},
    )
    for change in changes:
        with pytest.raises(EvidenceError, match="not the one in the SGX quote"):
            _verified("sgx-v3-debug", dataclasses.replace(report, **change))  # type: ignore[arg-type]
    with pytest.raises(EvidenceError, match="not the one in the SGX quote"):
        _verified("sgx-v3-debug", report, signature=bytes(64))


def test_quote_of_another_machine() -> None:
    """A genuine TDX quote, which others published, does not vouch for a key of whoever sends it."""
    name = "tdx-v4-uptodate"
    report = _report("sgx-v3-swhardening")

    def borrowed(public: bytes) -> tuple[TdxQuote, bytes]:
        return TdxQuote(key=public, quote=quote(name)), Endorsements(dcap=(collateral(name),)).to_json()

    evidence = KeyAttester(Ed25519PrivateKey.generate(), borrowed).attest(report).to_json()
    with pytest.raises(EvidenceError, match="vouches for another key") as raised:
        verify(evidence, expected_report_data=report.data, at=time_of(name))
    assert "expected report data" in raised.value.reasons[0]
