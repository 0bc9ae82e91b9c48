"""Genuine evidence, replayed against sessions: what was recorded on a machine answers for the machine."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Final

import pytest
import yaml

from bannock.cli.scone import main
from bannock.errors import PolicySyntaxError
from bannock.policy.case_file import parse_cases

_DATA: Final = Path(__file__).parents[2] / "data" / "evidence"
_GUIDE: Final = Path(__file__).parents[3] / "docs" / "session-test.md"
_SGX: Final = "sgx-v3-swhardening"
_TDX: Final = "tdx-v4-outofdate"
#: Of the SGX sample.
_MRENCLAVE: Final = "a4f45c39dac622cb1dd32ddb35a52ec92db41d0fa88a1c911c49e59c534f61cd"
_MRSIGNER: Final = "8f2dbc0f9c5d3378d596974b2deed1f93223cc49242899f83809bcc92546132c"
_ADVISORIES: Final = "[INTEL-SA-00960, INTEL-SA-00982, INTEL-SA-00986]"


def _at(sample: str) -> str:
    expected = json.loads((_DATA / "dcap" / f"{sample}.expect.json").read_bytes())
    return dt.datetime.fromtimestamp(expected["verify_at"], dt.UTC).isoformat()


class _Place:
    """A directory with a session, recorded evidence and its collateral."""

    def __init__(self, directory: Path, sample: str) -> None:
        self.directory = directory
        self.sample = sample
        shutil.copy(_DATA / "dcap" / f"{sample}.quote", directory / "recorded.quote")
        (directory / "collateral").mkdir()
        shutil.copy(_DATA / "dcap" / f"{sample}.collateral.json", directory / "collateral")

    def ask(self, security: str = "{}", expect: str = "granted", attestation: str = "", **case: str) -> int:
        trusted = attestation or f"{{mrenclave: {_MRENCLAVE}}}"
        session = f"""
name: demo
version: "0.3.11"
services: [{{name: web, command: serve, attestation: {trusted}}}]
security: {{attestation: {security}}}
"""
        (self.directory / "session.yml").write_text(session)
        asked = {
            "service": "web",
            "evidence_file": "recorded.quote",
            "collateral": "collateral",
            "time": _at(self.sample),
            **case,
        }
        lines = "".join(f"    {key}: {value}\n" for key, value in asked.items() if value)
        text = f"session: session.yml\ncases:\n  - name: asked\n{lines}    expect: {expect}\n"
        (self.directory / "cases.yml").write_text(text)
        return main(["session", "test", "--verbose", str(self.directory / "cases.yml")])


@pytest.fixture
def sgx(tmp_path: Path) -> _Place:
    """An enclave on a processor whose programs need to be hardened."""
    return _Place(tmp_path, _SGX)


@pytest.fixture
def tdx(tmp_path: Path) -> _Place:
    """A trust domain on a platform that is out of date."""
    return _Place(tmp_path, _TDX)


def test_a_genuine_enclave_is_let_in_by_the_session_that_accepts_its_platform(sgx: _Place) -> None:
    """By its measurement, and by its signer."""
    accepted = "{tolerate: [software-hardening-needed], ignore_advisories: [INTEL-SA-00615]}"
    assert sgx.ask(accepted) == 0
    assert sgx.ask(accepted, attestation=f"{{signer: {{mrsigner: {_MRSIGNER}, isvprodid: 0, isvsvn: 0}}}}") == 0
    assert sgx.ask(accepted, attestation=f"{{signer: {{mrsigner: {_MRSIGNER}, isvprodid: 0, isvsvn_min: 1}}}}") == 30
    assert sgx.ask("{tolerate: [software-hardening-needed]}") == 30
    assert sgx.ask("{ignore_advisories: [INTEL-SA-00615]}") == 30


def test_a_refusal_says_what_was_found_and_what_would_accept_it(
    sgx: _Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a CAS tells it."""
    assert sgx.ask(expect="{refused: [software-hardening-needed, INTEL-SA-00615]}") == 0
    told = capsys.readouterr().out
    assert "hint: mend the platform, or accept the risk by security.attestation: " in told
    assert "{tolerate: [software-hardening-needed], ignore_advisories: [INTEL-SA-00615]}" in told


def test_what_a_refusal_tells_of_a_machine_accepts_it(tdx: _Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The rule for a genuine trust domain, out of the refusal of a session that has none."""
    evidence = f"{{mrenclave: {_MRENCLAVE}}}"
    weak = f"tolerate: [outdated-tcb], ignore_advisories: {_ADVISORIES}"
    assert tdx.ask(f"{{{weak}}}", evidence=evidence, expect="{refused: ['Unexpected machine (platform, tdx)']}") == 0
    _, _, rule = capsys.readouterr().out.partition("security.attestation: {")
    machines = rule.partition("\n")[0].removesuffix("}")
    assert tdx.ask(f"{{{weak}, {machines}}}", evidence=evidence) == 0
    assert tdx.ask(f"{{{machines}}}", evidence=evidence, expect="{refused: [outdated-tcb, INTEL-SA-00986]}") == 0
    changed = machines.replace("mrtd: 9", "mrtd: 8")
    assert changed != machines
    assert tdx.ask(f"{{{weak}, {changed}}}", evidence=evidence, expect="{refused: ['(MRTD, 935be7742dd89c6a']}") == 0
    (rules,) = yaml.safe_load(f"{{{machines}}}").values()
    assert list(rules[0]["tdx"]) == ["mrtd", "rtmr0", "rtmr1", "rtmr2"]


def test_what_a_case_says_goes_before_what_was_recorded(sgx: _Place) -> None:
    """So that a policy is asked what would be if something were otherwise."""
    assert sgx.ask(evidence="{weaknesses: [], advisories: []}") == 0
    assert sgx.ask(evidence="{weaknesses: [], advisories: [], debug: true}", expect="{refused: [DEBUG]}") == 0


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"collateral": ""}, "collateral"),
        ({"time": "2030-01-01T00:00:00Z"}, "2025-"),
        ({"evidence_file": "collateral/sgx-v3-swhardening.collateral.json"}, "evidence"),
        ({"evidence_file": "cases.yml"}, "recorded evidence is an envelope or a platform in JSON"),
    ],
)
def test_what_proves_nothing_is_refused_with_the_reason(
    sgx: _Place, case: dict[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without collateral, past its time, or no evidence at all."""
    assert sgx.ask("{mode: hardware, tolerate: [software-hardening-needed]}", expect="refused", **case) == 0
    assert reason in capsys.readouterr().out


def test_a_changed_byte_is_refused(sgx: _Place) -> None:
    """The recording is no better than what was recorded."""
    path = sgx.directory / "recorded.quote"
    data = bytearray(path.read_bytes())
    data[48 + 64] ^= 1  # the first byte of MRENCLAVE
    path.write_bytes(data)
    assert sgx.ask("{tolerate: [software-hardening-needed], ignore_advisories: [INTEL-SA-00615]}") == 30


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ({"evidence_file": "nowhere"}, "nowhere"),
        ({"collateral": "nowhere"}, "nowhere is no directory of collateral"),
        ({"roots": "session.yml"}, "session.yml has no certificates in PEM"),
    ],
)
def test_a_file_that_is_not_there_is_no_refusal(
    sgx: _Place, case: dict[str, str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A case that expects a refusal must not pass for a typo."""
    assert sgx.ask(expect="refused", **case) == 2
    assert error in capsys.readouterr().err


def test_a_report_of_a_guest_is_asked_for_its_machine(tmp_path: Path) -> None:
    """As other tools write it; what AMD has revoked has to be known."""
    shutil.copy(_DATA / "snp" / "milan-v2.report", tmp_path)
    (tmp_path / "amd").mkdir()
    for name in ("ark-milan.pem", "ask-milan.pem", "milan-v2.vcek.der"):
        shutil.copy(_DATA / "snp" / name, tmp_path / "amd")
    digest = "a1f3930413247bb38cfc171579ea3c12d5fe4901f0c792f63fd75d98f1ef827c23500644e0e692e6be917f9050d3d38c"
    (tmp_path / "session.yml").write_text(f"""
name: demo
version: "0.3.11"
services: [{{name: web, command: serve, attestation: {{mrenclave: {_MRENCLAVE}}}}}]
security:
  attestation:
    machines: [{{sev-snp: {{measurement: {digest}, guest_svn: 4, product: milan, minimum_tcb: {{snp: 8}}}}}}]
""")
    recorded = "evidence_file: milan-v2.report, collateral: amd, time: 2025-06-01T00:00:00Z"
    (tmp_path / "cases.yml").write_text(f"""
session: session.yml
cases:
  - {{service: web, {recorded}, evidence: {{mrenclave: {_MRENCLAVE}, weaknesses: []}}, expect: granted}}
  - {{service: web, {recorded}, evidence: {{mrenclave: {_MRENCLAVE}}}, expect: {{refused: [revocation-unknown]}}}}
  - {{service: web, {recorded}, expect: {{refused: [MRENCLAVE]}}}}
""")
    assert main(["session", "test", "--verbose", str(tmp_path / "cases.yml")]) == 0


@pytest.mark.parametrize(
    ("case", "issue"),
    [
        (
            "service: a, evidence_file: x, expect: granted",
            "time is missing: what was recorded is good at its own time",
        ),
        ("service: a, collateral: x, expect: granted", "collateral: the key has no meaning without evidence_file"),
        ("service: a, roots: x, expect: granted", "roots: the key has no meaning without evidence_file"),
        ("operation: read, evidence_file: x, expect: granted", "the key does not go with the others here"),
        ("service: a, evidence: {machine: {mrtdd: x}}, expect: granted", "no platform tells 'mrtdd' of a machine"),
        ("service: a, evidence: {machine: x}, expect: granted", "machine: expected names and values, found 'x'"),
        ("service: a, evidence: {machine_id: x}, expect: granted", "machine_id"),
        ("service: a, evidence: {rehearses: sim}, expect: granted", "rehearses: expected one of"),
        ("service: a, evidence: {platform: sgx, rehearses: tdx}, expect: granted", "platform sim alone rehearses"),
        ("service: a, evidence: {weaknesses: [Outdated]}, expect: granted", "weaknesses[0]: expected a weakness"),
    ],
)
def test_what_goes_together_is_told(case: str, issue: str) -> None:
    """At its place, like every other issue."""
    with pytest.raises(PolicySyntaxError) as caught:
        parse_cases(f"cases: [{{{case}}}]")
    assert any(issue in reason for reason in caught.value.reasons)


def test_a_case_may_say_all_of_a_machine(tmp_path: Path) -> None:
    """Claims that no evidence was recorded for."""
    digest = "ab" * 48
    (tmp_path / "session.yml").write_text(f"""
name: demo
version: "0.3.11"
services: [{{name: web, command: serve, attestation: {{mrenclave: {_MRENCLAVE}}}, platforms: ['{"cd" * 32}']}}]
security: {{attestation: {{machines: [{{tdx: {{mrtd: {digest}, rtmr1: {digest}}}}}], tolerate: [simulation]}}}}
""")
    (tmp_path / "cases.yml").write_text(f"""
session: session.yml
defaults: {{mrenclave: {_MRENCLAVE}, machine_id: {"cd" * 32}, machine: {{mrtd: {digest}, rtmr1: {digest.upper()}}}}}
cases:
  - {{service: web, evidence: {{platform: tdx}}, expect: granted}}
  - {{service: web, evidence: {{rehearses: tdx}}, expect: granted}}
  - {{service: web, evidence: {{rehearses: tdx, machine: {{mrtd: {digest}}}}}, expect: {{refused: ["RTMR1, not"]}}}}
  - {{service: web, evidence: {{platform: tdx, machine_id: {"ef" * 32}}}, expect: {{refused: [the platform of]}}}}
  - {{service: web, evidence: {{platform: sev-snp}}, expect: {{refused: ["(platform, sev-snp) - Expected tdx"]}}}}
""")
    assert main(["session", "test", str(tmp_path / "cases.yml")]) == 0


def test_the_example_of_the_documentation_is_a_file_of_cases() -> None:
    """As far as it can be without its files."""
    section = _GUIDE.read_text(encoding="utf-8").partition("## Recorded evidence")[2]
    cases = parse_cases(section.partition("```yaml\n")[2].partition("```")[0]).cases
    assert [case.granted for case in cases] == [True, False, False]
