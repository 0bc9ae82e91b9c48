"""A make-believe Intel: everything about its evidence holds but the root, and nobody takes it for Intel's."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dcap_qvl
import pytest
from cryptography import x509

from bannock.errors import DeniedError, EvidenceError, InputError
from bannock.evidence.dcap.verifier import verify_sgx, verify_tdx
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SgxQuote, TdxQuote
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.rehearsal.knobs import ALL_WELL, Rehearsal
from bannock.evidence.verifier import verify
from bannock.policy import decide_enclave
from bannock.policy.machine_file import parse_machines
from bannock.policy.machines import rule_for
from bannock.policy.session import Toleration
from tests.unit.evidence.rehearsal.intel import AT, DATA, ENCLAVE, REPORT, sgx_envelope, tdx_envelope, vendor
from tests.unit.policy.documents import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.evidence.appraisal import Appraisal
    from bannock.policy.claims import Claims

_EVIDENCE = {
    "sgx": sgx_envelope,
    "tdx": tdx_envelope,
    "tdx, version 5": lambda intel: tdx_envelope(intel, version=5),
}


def _appraise(evidence: bytes, at: datetime = AT) -> Appraisal:
    return verify(evidence, expected_report_data=DATA, at=at)


@pytest.mark.parametrize("make", _EVIDENCE.values(), ids=_EVIDENCE)
def test_all_is_well_but_the_root(make: Callable[[IntelVendor], bytes]) -> None:
    """Evidence is verified in all its parts, and is of platform sim all the same, in every listing."""
    found = _appraise(make(vendor()))
    assert found.claims.platform == "sim"
    assert found.claims.rehearses == ("sgx" if make is sgx_envelope else "tdx")
    assert (found.claims.debug, found.claims.weaknesses, found.claims.advisories) == (False, frozenset(), frozenset())
    assert found.claims.measurement == ENCLAVE.measurement
    assert found.tcb.status == "UpToDate"
    assert "make-believe" in found.warnings[0]
    assert found.until == AT + timedelta(days=30)
    lines = [line for each in found.findings for line in each.lines()]
    assert "ok: the PCK certificate leads to a make-believe root" in lines
    assert not [line for line in lines if line.startswith("FAILED")]


@pytest.mark.parametrize(
    ("knob", "status", "weaknesses", "advisories"),
    [
        ("outdated-tcb", "OutOfDate", {"outdated-tcb"}, {"INTEL-SA-00586", "INTEL-SA-00614", "INTEL-SA-00837"}),
        (
            "software-hardening-needed",
            "SWHardeningNeeded",
            {"software-hardening-needed"},
            {"INTEL-SA-00615"},
        ),
        ("insecure-configuration", "ConfigurationNeeded", {"insecure-configuration"}, {"INTEL-SA-00289"}),
        (
            "insecure-configuration,software-hardening-needed",
            "ConfigurationAndSWHardeningNeeded",
            {"insecure-configuration", "software-hardening-needed"},
            {"INTEL-SA-00289", "INTEL-SA-00615"},
        ),
    ],
)
@pytest.mark.parametrize("make", _EVIDENCE.values(), ids=_EVIDENCE)
def test_weaknesses(
    make: Callable[[IntelVendor], bytes], knob: str, status: str, weaknesses: set[str], advisories: set[str]
) -> None:
    """A weak platform is told with its state and the advisories; both verifiers agree on them."""
    found = _appraise(make(vendor(Rehearsal.parse(knob.split(",")))))
    assert found.tcb.status == status
    assert found.claims.weaknesses == weaknesses
    assert found.claims.advisories == advisories


def test_debug() -> None:
    """A machine that a debugger may look into is told as such; so is an enclave whose report says so."""
    debugged = Rehearsal(debug=True)
    assert _appraise(tdx_envelope(vendor(debugged))).claims.debug
    assert _appraise(tdx_envelope(vendor(debugged), version=5)).claims.debug
    report = dataclasses.replace(REPORT, debug=True)
    assert _appraise(sgx_envelope(vendor(), report)).claims.debug
    with pytest.raises(EvidenceError, match="the report is not the one in the SGX quote"):
        _appraise(sgx_envelope(vendor(debugged)))


@pytest.mark.parametrize("make", _EVIDENCE.values(), ids=_EVIDENCE)
def test_revoked(make: Callable[[IntelVendor], bytes]) -> None:
    """A revoked key of a processor vouches for nothing."""
    with pytest.raises(EvidenceError, match="quote does not hold") as raised:
        _appraise(make(vendor(Rehearsal(revoked=True))))
    assert raised.value.reasons[0].startswith("the PCK certificate was revoked (serial number ")


@pytest.mark.parametrize("make", _EVIDENCE.values(), ids=_EVIDENCE)
def test_expired(make: Callable[[IntelVendor], bytes]) -> None:
    """Collateral past its end is refused: all that has expired is named, and what to do."""
    with pytest.raises(EvidenceError) as raised:
        _appraise(make(vendor(Rehearsal(expired_collateral=True))))
    expired = [each for each in raised.value.reasons if each.endswith("expired at 2026-01-30 12:00:00 UTC")]
    assert len(expired) == 4
    assert "newer collateral" in (raised.value.hint or "")
    for at in (AT + timedelta(days=30), AT + timedelta(days=31)):
        with pytest.raises(EvidenceError, match="does not hold"):
            _appraise(make(vendor()), at)
    _appraise(make(vendor()), AT + timedelta(days=30, seconds=-1))
    with pytest.raises(EvidenceError) as raised:
        _appraise(make(vendor()), AT - timedelta(hours=2))
    assert "issued after the time of the verdict" in "".join(raised.value.reasons)


def test_newest_part_counts() -> None:
    """Nobody hides a revocation behind an older list that has not expired, nor a flaw behind an older TCB info."""
    well, month = vendor(), timedelta(days=10)
    revoked = well.renewed(AT + month, Rehearsal(revoked=True))
    hardening = well.renewed(AT + month, Rehearsal(software_hardening_needed=True))
    at = AT + month
    evidence = tdx_envelope(well)
    assert verify(evidence, expected_report_data=DATA, at=at).tcb.status == "UpToDate"
    with pytest.raises(EvidenceError) as raised:
        verify(evidence, expected_report_data=DATA, at=at, endorsements=revoked.endorsements())
    assert "the PCK certificate was revoked" in "".join(raised.value.reasons)
    found = verify(evidence, expected_report_data=DATA, at=at, endorsements=hardening.endorsements())
    assert found.claims.weaknesses == {"software-hardening-needed"}
    # What is not issued yet does not count yet.
    before = at - timedelta(days=5)
    assert verify(evidence, expected_report_data=DATA, at=before, endorsements=revoked.endorsements()).tcb.status


@pytest.mark.parametrize("key", ["root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"])
def test_parts_of_others_do_not_count(key: str) -> None:
    """Newer parts that another vendor signed are of no use, and do no harm beside good ones."""
    mine, other = vendor(), vendor(seed=b"\x08", at=AT + timedelta(minutes=10))
    good = mine.endorsements().dcap[1]
    text = key.removesuffix("_signature")
    foreign = json.loads(other.endorsements().dcap[1])
    mixed = json.dumps(json.loads(good) | {key: foreign[key], text: foreign.get(text, "")})
    quote = mine.tdx_quote(bytes(64))
    with pytest.raises(EvidenceError) as raised:
        verify_tdx(TdxQuote(key=b"", quote=quote), Endorsements(dcap=(mixed,)), AT)
    assert raised.value.reasons
    assert verify_tdx(TdxQuote(key=b"", quote=quote), Endorsements(dcap=(mixed, good)), AT).tcb.status == "UpToDate"


def test_dcap_qvl_says_the_same() -> None:
    """dcap-qvl takes quotes and collateral as genuine under the make-believe root, and refuses them under Intel's."""
    intel = vendor()
    seconds = int(AT.timestamp())
    quotes = (intel.sgx_quote(DATA, ENCLAVE), intel.tdx_quote(DATA), intel.tdx_quote(DATA, version=5))
    for quote, collateral in zip(quotes, intel.endorsements().dcap + intel.endorsements().dcap[1:], strict=True):
        known = dcap_qvl.QuoteCollateralV3.from_json(collateral)
        assert dcap_qvl.verify_with_root_ca(quote, known, intel.root, seconds).status == "UpToDate"
        with pytest.raises(ValueError, match="InvalidCrlSignatureForPublicKey"):
            dcap_qvl.verify(quote, known, seconds)


def test_what_is_kept_is_all_of_it() -> None:
    """A vendor that was kept is the same one: root, collateral, quotes; renewed, it has the same root."""
    intel = IntelVendor(os.urandom, AT, Rehearsal(outdated_tcb=True, debug=True))
    again = IntelVendor.from_json(intel.to_json())
    assert again.root == intel.root
    assert again.endorsements() == intel.endorsements()
    assert again.tdx_quote(DATA) == intel.tdx_quote(DATA)
    later = again.renewed(AT + timedelta(days=100), ALL_WELL)
    assert later.root == intel.root
    assert IntelVendor.from_json(later.to_json()).endorsements() == later.endorsements()
    assert _appraise(tdx_envelope(later), AT + timedelta(days=100)).tcb.status == "UpToDate"
    assert IntelVendor(os.urandom, AT).root != intel.root


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format":"bannock-rehearsal-intel-1","seed":"00","since":"2026-01-01","at":"2026-01-01","knobs":[]}',
        b'{"format":"x","seed":"' + b"00" * 32 + b'","since":"2026-01-01","at":"2026-01-01","knobs":[]}',
        b'{"format":"bannock-rehearsal-intel-1","seed":"' + b"00" * 32 + b'","since":1,"at":"2026-01-01","knobs":[]}',
    ],
)
def test_what_is_kept_may_be_damaged(data: bytes) -> None:
    """Anything else is refused as input."""
    with pytest.raises(InputError, match="make-believe Intel is damaged"):
        IntelVendor.from_json(data)


def test_arguments() -> None:
    """Report data of another length, registers that there are not, and knobs that there are not are refused."""
    with pytest.raises(InputError, match="64 bytes, found 63"):
        vendor().sgx_quote(bytes(63), ENCLAVE)
    with pytest.raises(InputError, match=r"registers .* found 'rtmr4'"):
        vendor().tdx_quote(DATA, {"rtmr4": "00" * 48})
    with pytest.raises(InputError, match="96 hexadecimal digits"):
        vendor().tdx_quote(DATA, {"rtmr0": "00" * 47})
    with pytest.raises(InputError, match="version 4 or 5, found 3"):
        vendor().tdx_quote(DATA, version=3)
    with pytest.raises(InputError, match=r"expired-collateral, .* found 'expired'"):
        Rehearsal.parse(["expired"])
    assert Rehearsal.parse(Rehearsal.choices()).names == Rehearsal.choices()
    assert Rehearsal.parse([]) == ALL_WELL


def test_registers() -> None:
    """A trust domain has the registers that it is given."""
    chosen = {"mrtd": "12" * 48, "rtmr3": "34" * 48, "mrconfigid": "56" * 48}
    machine = _appraise(tdx_envelope(vendor(), machine=chosen)).claims.machine
    assert chosen.items() <= machine.items()


def test_it_says_what_it_is() -> None:
    """Whoever looks at the certificates sees that they protect nothing."""
    root = x509.load_der_x509_certificate(vendor().root)
    assert "make-believe" in root.subject.rfc4514_string()
    family = bytes.fromhex(json.loads(json.loads(vendor().endorsements().dcap[0])["tcb_info"])["fmspc"])
    assert family[0] == 0xFF


def _most_trusting(tolerated: frozenset[Toleration], claims: Claims) -> None:
    """Decide by a session that trusts this enclave, this attester and this machine by name, and all advisories."""
    session = parse(
        attestation=f"mrenclaves: [{claims.measurement}]", rest="security: {attestation: {mode: hardware}}"
    )
    rule = rule_for(claims)
    security = dataclasses.replace(
        session.security,
        tolerated=tolerated,
        ignored_advisories=None,
        trusted_attesters=(claims.attester,) if claims.attester else (),
        machines=parse_machines(f"- {rule}") if rule else (),
    )
    decide_enclave(dataclasses.replace(session, security=security), "main", claims)


@pytest.mark.parametrize("make", _EVIDENCE.values(), ids=_EVIDENCE)
def test_nothing_else_ever_accepts_the_root(make: Callable[[IntelVendor], bytes]) -> None:
    """Whatever a session tolerates, trusts and ignores, it accepts the make-believe root with simulation alone."""
    others = [each for each in Toleration if each is not Toleration.SIMULATION]
    subsets = [
        frozenset(subset) for count in range(len(others) + 1) for subset in itertools.combinations(others, count)
    ]
    assert len(subsets) == 2 ** len(others)
    for knobs in (ALL_WELL, Rehearsal(outdated_tcb=True), Rehearsal(insecure_configuration=True)):
        claims = _appraise(make(vendor(knobs))).claims
        for tolerated in subsets:
            with pytest.raises(DeniedError) as raised:
                _most_trusting(tolerated, claims)
            assert any("Unexpected platform (platform, sim)" in each for each in raised.value.reasons)
        _most_trusting(frozenset(Toleration), claims)


def test_no_endorsement_makes_it_genuine() -> None:
    """Roots that are configured, and collateral of Intel itself, do not make the root Intel's."""
    intel = vendor()
    roots = Endorsements(roots=(intel.root,), certificates=(intel.root,))
    found = verify(tdx_envelope(intel), expected_report_data=DATA, at=AT, endorsements=roots)
    assert found.claims.platform == "sim"
    assert found.claims.rehearses == "tdx"
    quote = SgxQuote(quote=intel.sgx_quote(DATA, ENCLAVE))
    appraisal = verify_sgx(quote, intel.endorsements().merged(roots), AT.astimezone(UTC))
    assert appraisal.genuine is False
