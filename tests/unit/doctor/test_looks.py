"""What is found out about machines, as they are and as they could be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bannock.doctor import machine
from bannock.doctor.devices import look_at_devices
from bannock.doctor.engine import look_at_engine, look_at_programs
from bannock.doctor.finding import Finding, State
from bannock.doctor.services import look_at_cas, look_at_las
from bannock.doctor.software import look_at_environment, look_at_software
from bannock.doctor.storage import Place, look_at_storage
from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NOW = 1_800_000_000.0


def _by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def _only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def _advises(finding: Finding) -> bool:
    return bool(finding.hint)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("6.18.44-fc-v445", (6, 18, 44)), ("5.10", (5, 10)), ("20.10.24+dfsg1", (20, 10, 24)), ("v3", ()), ("", ())],
)
def test_versions_are_compared_by_their_numbers(text: str, numbers: tuple[int, ...]) -> None:
    """What follows the numbers does not count."""
    assert machine.parsed_version(text) == numbers


@pytest.mark.parametrize(("release", "state"), [("4.19.0", "problem"), ("5.10.0-9", "warning"), ("6.10.1", "ok")])
def test_kernels(release: str, state: str) -> None:
    """One too old keeps everything from working, and an older one is weaker."""
    finding = machine._kernel(release)
    assert finding.state == state
    assert _advises(finding) == (state != "ok")


@pytest.mark.parametrize(
    ("now", "kept", "state"),
    [(_NOW, True, "ok"), (_NOW, None, "ok"), (_NOW, False, "warning"), (1.0, True, "problem")],
)
def test_clocks(now: float, kept: bool | None, state: str) -> None:  # noqa: FBT001 - a case
    """A clock that nobody sets is doubtful, and one that is years behind is wrong whoever sets it."""
    assert machine._clock(now, kept).state == state


def test_this_machine() -> None:
    """Where these tests run, all is looked at, and whatever is not fine says what to do."""
    findings = _by_name(machine.look_at_machine(_NOW))
    assert {"system", "kernel", "memory", "clock", "open files", "private root"} <= set(findings)
    assert all(_advises(finding) for finding in findings.values() if finding.state is not State.OK)


def test_trials_end_with_their_process() -> None:
    """What is tried changes nothing here, and its failure is told, whatever it is."""
    before = os.getcwd()  # noqa: PTH109 - the process's own

    def _move() -> None:
        os.chdir("/")

    def _fail() -> None:
        raise EnvironmentFault("the kernel says no")

    def _end() -> None:
        os._exit(1)

    assert machine.found_out(_move) == ""
    assert os.getcwd() == before  # noqa: PTH109
    assert machine.found_out(_fail) == "the kernel says no"
    assert machine.found_out(lambda: _unknown()) == "ZeroDivisionError"  # noqa: PLW0108 - made here
    assert machine.found_out(_end) == "what was tried has ended without a word"


def _unknown() -> None:
    raise ZeroDivisionError


def _device(root: Path, name: str, mode: int = 0o600) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(mode)


def test_no_device_means_simulation(tmp_path: Path) -> None:
    """That nothing attests is a warning, not a problem."""
    assert _only(look_at_devices(tmp_path)).state is State.WARNING


def test_devices_are_told_by_platform(tmp_path: Path) -> None:
    """One device is enough for each platform, and machines that attest as a whole need the kernel's directory."""
    for name in ("dev/sgx_enclave", "dev/sgx/enclave", "dev/tdx_guest"):
        _device(tmp_path, name)
    findings = _by_name(look_at_devices(tmp_path))
    assert list(findings) == ["sgx", "tdx", "quotes"]
    assert findings["sgx"].state is State.OK
    assert findings["quotes"].state is State.WARNING
    (tmp_path / "sys/kernel/config/tsm/report").mkdir(parents=True)
    assert _by_name(look_at_devices(tmp_path))["quotes"].state is State.OK


def test_a_processor_without_its_device(tmp_path: Path) -> None:
    """What the processor has and the kernel does not show is worth a look at the firmware."""
    _device(tmp_path, "proc/cpuinfo")
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu sgx sse2\n")
    assert _by_name(look_at_devices(tmp_path))["sgx"].state is State.WARNING


def test_storage_is_looked_at_and_not_made(tmp_path: Path) -> None:
    """A directory that is not there is fine if it can be made, and nothing makes it."""
    path = tmp_path / "a" / "b"
    finding = _only(look_at_storage([Place(what="keys", path=path, private=True, wanted=0)]))
    assert finding.state is State.OK
    assert "not there so far" in finding.found
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("mode", "private", "told"),
    [
        (0o755, True, "others may look into it: mode 0755"),
        (0o777, False, "everybody may exchange"),
        (0o700, True, ""),
        (0o1777, False, ""),
        (0o755, False, ""),
    ],
)
def test_rights(tmp_path: Path, mode: int, private: bool, told: str) -> None:  # noqa: FBT001 - a case
    """Who may look into keys, and exchange temporary files, is told with what to do about it."""
    tmp_path.chmod(mode)
    finding = _only(look_at_storage([Place(what="it", path=tmp_path, private=private, wanted=0)]))
    assert finding.state is (State.PROBLEM if told else State.OK)
    assert told in finding.found
    assert _advises(finding) == bool(told)


def test_too_little_room(tmp_path: Path) -> None:
    """Room for a while, and not for what is wanted, is a warning."""
    finding = _only(look_at_storage([Place(what="images", path=tmp_path, wanted=1 << 62)]))
    assert finding.state is State.WARNING
    assert "make room on /" in finding.hint


def test_without_an_engine(tmp_path: Path) -> None:
    """That there is none is told with what needs it, and with what to install."""
    finding = _only(look_at_engine({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, "x86_64"))
    assert (finding.what, finding.state) == ("engine", State.WARNING)
    assert "containers need it" in finding.found
    assert "docker" in finding.hint


def test_programs_of_others(tmp_path: Path) -> None:
    """Those that are not there are told with what needs them; nobody has to have them."""
    _device(tmp_path, "ssh", 0o755)
    finding = _only(look_at_programs({"PATH": str(tmp_path)}))
    assert finding.state is State.OK
    assert finding.found.startswith("ssh; not here: docker (")
    assert finding.hint.startswith("if you need them: apt install docker.io strace graphviz")


def test_this_installation() -> None:
    """What these tests run with is complete."""
    findings = _by_name(look_at_software([], {}))
    assert all(finding.state is State.OK for finding in findings.values()), findings


def test_commands_of_two_installations(tmp_path: Path) -> None:
    """That some are missing, or come from different places, is told."""
    for place, name in (("a", "scone"), ("b", "bannock")):
        _device(tmp_path, f"{place}/{name}", 0o755)
    path = {"PATH": f"{tmp_path}/a:{tmp_path}/b"}
    mixed = _by_name(look_at_software(["scone", "bannock"], path))["commands"]
    assert mixed.state is State.WARNING
    assert "mixed" in mixed.hint
    lacking = _by_name(look_at_software(["scone", "sconectl"], path))["commands"]
    assert lacking.found == "not in the path: sconectl"
    assert lacking.hint.startswith(("export PATH=", "install them"))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("SCONE_CAS_ADDR", "cas.example:18765", "cas.example:port"),
        ("SCONE_LAS_ADDR", "unix:/run/las.sock", "las:0:0"),
        ("SCONE_MODE", "HW", "hardware"),
        ("DOCKER_HOST", "unix:///run/docker.sock", "tcp://host:2375"),
    ],
)
def test_variables(name: str, good: str, bad: str) -> None:
    """A variable that cannot be is a problem, and named."""
    assert _only(look_at_environment({name: good})).found == f"{name}={good}"
    finding = _by_name(look_at_environment({name: bad}))[name]
    assert finding.state is State.PROBLEM
    assert _advises(finding)


def test_a_las_that_does_not_answer() -> None:
    """It is a problem where somebody has said that there is one, else a warning."""
    assert _only(look_at_las("127.0.0.1:1", named=True)).state is State.PROBLEM
    assert _only(look_at_las("127.0.0.1:1", named=False)).state is State.WARNING


def test_without_a_cas() -> None:
    """One that was never attested is missed by nobody."""
    assert _only(look_at_cas([], _NOW)).state is State.OK
