"""``scone las show-machine``: what it shows is what a session accepts, and what it records can be asked again."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import ActivationError, EnvironmentFault, EvidenceError
from bannock.evidence.platforms import MachineAttester
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.evidence.tpm.attester import TpmReporter
from bannock.las.rehearsal import rehearse
from bannock.las.service import EmbeddedLas
from bannock.policy.machine_file import parse_machines
from tests.software_tpm import NEEDS_TPM, SoftwareTpm
from tests.unit.evidence.tpm.samples import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Scone

_MRENCLAVE: Final = "11" * 32
_MACHINES: Final = ["tdx", "sev-snp", "tpm"]


def _las(directory: Path, platform: str, knobs: str = "") -> EmbeddedLas:
    rehearsal = Rehearsal.parse(filter(None, [knobs]))
    return EmbeddedLas(directory / "las", rehearse(platform, rehearsal, directory / "vendor", machine={}))


@pytest.mark.parametrize("platform", _MACHINES)
def test_what_is_shown_is_what_a_session_accepts(scone: Scone, tmp_path: Path, platform: str) -> None:
    """The rule as it is printed, on the evidence as it is recorded."""
    record = tmp_path / "recorded.json"
    with _las(tmp_path, platform) as las:
        shown = scone.done("las", "show-machine", "--las", las.address, "--output", str(record))
    assert shown.startswith(f"# platform: sim (rehearses {platform})\n# machine: ")
    (rule,) = parse_machines(shown)
    assert rule.platform == platform
    (tmp_path / "cases.yml").write_text(_case(tmp_path, shown))
    assert scone.done("session", "test", str(tmp_path / "cases.yml")).endswith("1 cases, 0 failed\n")


def _case(directory: Path, shown: str, more: str = "") -> str:
    """Write a session with what is shown of a machine, and give a case with what was recorded of it."""
    machines = "".join(f"    {line}\n" for line in shown.splitlines())
    (directory / "session.yml").write_text(
        'name: demo\nversion: "0.3.11"\n'
        f"services: [{{name: app, command: run, attestation: {{mrenclave: '{_MRENCLAVE}'}}}}]\n"
        f"security:\n  attestation:\n    tolerate: [simulation]\n{machines}"
    )
    now = dt.datetime.now(dt.UTC).isoformat()
    case = f"service: app, evidence_file: recorded.json, {more}time: '{now}', evidence: {{mrenclave: '{_MRENCLAVE}'}}"
    return f"session: session.yml\ncases: [{{{case}, expect: granted}}]\n"


def test_what_is_wrong_with_a_machine_is_shown(scone: Scone, tmp_path: Path) -> None:
    """In the words that a session would have to accept it by."""
    with _las(tmp_path, "tdx", "outdated-tcb") as las:
        shown = scone.done("las", "show-machine", "--las", las.address)
    assert "# tcb: OutOfDate" in shown
    assert "# weaknesses: outdated-tcb\n# advisories: INTEL-SA-" in shown


def test_a_machine_that_nothing_vouches_for_is_recorded_and_not_shown(scone: Scone, tmp_path: Path) -> None:
    """It may be asked again with other collateral."""
    record = tmp_path / "recorded.json"
    with _las(tmp_path, "tdx", "expired-collateral") as las:
        answer = scone("las", "show-machine", "--las", las.address, "--output", str(record))
    assert answer.code == EvidenceError.exit_code
    assert "expired" in answer.err
    assert answer.out == ""
    assert record.read_bytes().startswith(b"{")


def test_an_sgx_host_is_shown_by_its_identity(scone: Scone, tmp_path: Path) -> None:
    """There, the processor vouches for enclaves themselves, and no rule is needed."""
    with _las(tmp_path, "sgx") as las:
        shown = scone.done("las", "show-machine", "--las", las.address)
    assert shown.startswith("# platform: sim (rehearses sgx)\n# machine: ")
    assert "machines:" not in shown


def test_plain_simulation_has_no_machine(scone: Scone, tmp_path: Path) -> None:
    """Nothing vouches for one."""
    with EmbeddedLas(tmp_path / "las") as las:
        answer = scone("las", "show-machine", "--las", las.address)
    assert answer.code == EnvironmentFault.exit_code
    assert "has platform sim, which has no machine to be trusted" in answer.err


def test_a_quote_for_another_key_is_refused(scone: Scone, tmp_path: Path) -> None:
    """The attester that is shown is the one that the quote vouches for."""
    with _las(tmp_path, "tdx", "replay") as las:
        answer = scone("las", "show-machine", "--las", las.address)
    assert answer.code == EvidenceError.exit_code
    assert "vouches for another key" in answer.err


@NEEDS_TPM
def test_a_tpm_proves_itself_to_whoever_asks(scone: Scone, tmp_path: Path) -> None:
    """As it does to a CAS; without a word on whom to trust it is not believed, and neither with the wrong one."""
    now = dt.datetime.now(dt.UTC)
    manufacturer, other = (Authority(name, at=now) for name in ("manufacturer", "other"))
    for name, each in (("roots", manufacturer), ("others", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "root.der").write_bytes(each.root)
    with SoftwareTpm() as tpm:
        tpm.certify(manufacturer)
        reporter = TpmReporter(tpm.tcti, pcrs="sha256:0,16", event_log=None)
        with EmbeddedLas(tmp_path / "las", MachineAttester(reporter, platform="tpm")) as las:
            asked = ("--las", las.address)
            answer = scone("las", "show-machine", *asked)
            assert answer.code == ActivationError.exit_code
            assert "--tpm-roots" in answer.err
            wrong = ("--tpm-roots", str(tmp_path / "others"))
            answer = scone("las", "show-machine", *asked, *wrong)
            assert answer.code == EvidenceError.exit_code
            assert "no manufacturer who is trusted here vouches for the TPM" in answer.err
            trusting = ("--tpm-roots", str(tmp_path / "roots"))
            shown = scone.done("las", "show-machine", *asked, *trusting)
            assert "# platform: tpm\n# machine: " in shown
            (rule,) = parse_machines(shown)
            assert rule.values == {"pcr.sha256.0": ("00" * 32,), "pcr.sha256.16": ("00" * 32,)}
            recorded = ("--output", str(tmp_path / "recorded.json"))
            assert scone.done("las", "show-machine", *asked, *trusting, *recorded) == shown
            (tmp_path / "cases.yml").write_text(_case(tmp_path, shown, "roots: [recorded.roots.pem], "))
            assert scone.done("session", "test", str(tmp_path / "cases.yml")).endswith("1 cases, 0 failed\n")
            state = scone.done("las", "show-tcb-state", *asked, *trusting)
            assert "TCB: the vendor tells no state (TPM firmware " in state
            assert len(reporter.quote(b"key")[0].ak_certificates) == 1
