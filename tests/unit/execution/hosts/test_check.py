"""What is made of what a host says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bannock.errors import BannockError, EnvironmentFault, PeerError
from bannock.execution.hosts.check import State, judge
from bannock.execution.hosts.facts import EngineFacts, Facts, SystemFacts

_ENGINE = EngineFacts(
    kind="Docker",
    version="20.10.24",
    api=(1, 41),
    architecture="amd64",
    directory="/var/lib/docker",
    processors=2,
    memory=4 << 30,
)
_SYSTEM = SystemFacts(
    machine="x86_64",
    kernel="6.1.0",
    os="Debian GNU/Linux 12",
    user="ubuntu",
    clock=0.4,
    free=100 << 30,
    devices=frozenset({"/dev/fuse", "/dev/sgx_enclave"}),
)
FACTS = Facts(engine=_ENGINE, system=_SYSTEM, tunnel=None, las="sgx", las_place="127.0.0.1:18766")


def _not_ok(facts: Facts, machine: str = "x86_64") -> dict[str, str]:
    return {
        finding.what: finding.state.value
        for finding in judge(facts, alias="caroline", machine=machine)
        if finding.state is not State.OK
    }


def test_a_host_with_everything() -> None:
    """A host that has everything gets no complaint, and each thing is told."""
    findings = judge(FACTS, alias="caroline", machine="x86_64")
    assert [finding.what for finding in findings] == [
        *("engine", "architecture", "system", "disk", "clock", "fuse", "devices", "tunnels", "las")
    ]
    assert _not_ok(FACTS) == {}


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (replace(_SYSTEM, free=5 << 30), {"disk": "warning"}),
        (replace(_SYSTEM, free=100 << 20), {"disk": "missing"}),
        (replace(_SYSTEM, free=None), {"disk": "warning"}),
        (replace(_SYSTEM, clock=-3600.0), {"clock": "warning"}),
        (replace(_SYSTEM, clock=31.0), {"clock": "warning"}),
        (replace(_SYSTEM, devices=frozenset({"/dev/tpmrm0"})), {"fuse": "warning"}),
        (replace(_SYSTEM, devices=frozenset({"/dev/fuse"})), {"devices": "warning"}),
        (PeerError("does not say"), {"system": "missing"}),
    ],
)
def test_systems(system: SystemFacts | BannockError, expected: dict[str, str]) -> None:
    """What a system lacks is named, and told apart by whether runs need it."""
    assert _not_ok(replace(FACTS, system=system)) == expected


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (replace(_ENGINE, api=(1, 40)), {"engine": "missing"}),
        (replace(_ENGINE, api=()), {"engine": "missing"}),
        (replace(_ENGINE, api=(1, 51)), {}),
        (replace(_ENGINE, architecture="arm64"), {"architecture": "missing"}),
        (EnvironmentFault("there is none"), {"engine": "missing"}),
    ],
)
def test_engines(engine: EngineFacts | BannockError, expected: dict[str, str]) -> None:
    """An engine has to be there, new enough, and of our architecture."""
    assert _not_ok(replace(FACTS, engine=engine)) == expected


def test_the_rest() -> None:
    """Runs need a LAS; tunnels to this machine only where the CAS is here."""
    assert _not_ok(replace(FACTS, las=EnvironmentFault("nothing"))) == {"las": "missing"}
    assert _not_ok(replace(FACTS, tunnel=PeerError("no"))) == {"tunnels": "warning"}


def test_what_is_missing_has_a_hint() -> None:
    """Each thing that is missing comes with what to do about it."""
    error = EnvironmentFault("not there")
    bad = Facts(engine=error, system=error, tunnel=error, las=error, las_place="127.0.0.1:18766")
    assert all(finding.hint for finding in judge(bad, alias="caroline", machine="x86_64"))
