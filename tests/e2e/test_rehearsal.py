"""Services on machines that are made up: all is as on hardware, but that sessions have to tolerate simulation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import DeniedError
from bannock.evidence.platforms import MachineAttester
from bannock.evidence.rehearsal.knobs import ALL_WELL, Rehearsal
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.las.rehearsal import rehearse
from bannock.net.tls import Identity
from bannock.policy.machines import rule_for
from bannock.values import Measurement
from tests.e2e import machine
from tests.e2e.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.evidence.platforms import ReportAttester

pytestmark = pytest.mark.root

_OWNER: Final = Identity.generate("owner")
_SESSION: Final = """
name: {name}
version: "0.3.11"
services: [{{name: app, attestation: {{mrenclave: {mrenclave}}}, command: [/bin/sh, -c, "echo granted"]}}]
security: {{attestation: {{{rules}}}}}
"""
_ADVISED: Final = 'ignore_advisories: "*"'


class _Place:
    """A site whose LAS rehearses a platform."""

    def __init__(self, site: Site, attester: ReportAttester, mrenclave: str) -> None:
        self._site = site
        self._mrenclave = mrenclave
        self._count = 0
        report = Report(
            measurement=Measurement(bytes(32)),
            signer=Measurement(bytes(32)),
            product_id=0,
            svn=0,
            debug=False,
            data=bytes(64),
        )
        evidence = attester.attest(report).to_json()
        rule = rule_for(verify(evidence, expected_report_data=bytes(64), at=datetime.now(UTC)).claims)
        self.machines = "" if rule is None else f"machines: [{rule}]"

    def run(self, *rules: str) -> tuple[int, str]:
        """Run a service of a new session with these rules of attestation, and give its exit code and what it said."""
        self._count += 1
        name = f"demo{self._count}"
        wanted = ", ".join(rule for rule in rules if rule)
        self._site.post(_OWNER, _SESSION.format(name=name, mrenclave=self._mrenclave, rules=wanted))
        done = self._site.run(f"{name}/app")
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(params=["sgx", "tdx", "sev-snp", "tpm"])
def platform(request: pytest.FixtureRequest) -> str:
    """Name a platform."""
    return str(request.param)


@pytest.fixture(scope="module")
def mrenclave(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Measure the shell as services run it."""
    home = machine.home_of(machine.ourselves(), tmp_path_factory.mktemp("measured"))
    done = machine.run(machine.ourselves(), ["run", "--", "/bin/sh"], home=home, SCONE_HASH="1")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _place(platform: str, mrenclave: str, home: Path, *knobs: str) -> Iterator[_Place]:
    (home / "tmp").mkdir()
    attester = rehearse(platform, Rehearsal.parse(knobs), home / "rehearsal", machine={})
    with Site.opened(home, attester) as site:
        yield _Place(site, attester, mrenclave)


@pytest.fixture
def place(platform: str, mrenclave: str, private_path: Path) -> Iterator[_Place]:
    """Give one where all is well."""
    yield from _place(platform, mrenclave, private_path)


@pytest.fixture
def debugged(platform: str, mrenclave: str, private_path: Path) -> Iterator[_Place]:
    """Give one where a debugger may look in."""
    yield from _place(platform, mrenclave, private_path, "debug")


def test_simulation_has_to_be_tolerated(place: _Place, platform: str) -> None:
    """A service runs where its session says so, and knows the machine; otherwise the reason is told."""
    code, said = place.run("tolerate: [simulation]", place.machines)
    assert (code, "granted" in said) == (0, True), said
    assert "platform sim protects nothing" in said
    code, said = place.run(place.machines)
    assert code == DeniedError.exit_code
    assert "simulation" in said
    if platform != "sgx":
        code, said = place.run("tolerate: [simulation]")
        assert code == DeniedError.exit_code
        assert "Unexpected machine" in said
        assert "machines" in said


def test_what_goes_wrong_has_to_be_tolerated(debugged: _Place) -> None:
    """A machine that a debugger looks into is refused, unless the session says otherwise."""
    code, said = debugged.run("tolerate: [simulation]", debugged.machines)
    assert code == DeniedError.exit_code
    assert "debug" in said.lower()
    code, said = debugged.run("tolerate: [simulation, debug-mode]", debugged.machines)
    assert (code, "granted" in said) == (0, True), said


@pytest.mark.parametrize(
    ("platform", "knob", "told"),
    [
        ("tdx", "revoked", "revoked"),
        ("sev-snp", "expired-collateral", "past its date"),
        ("tpm", "replay", "vouches for another key"),
        ("sgx", "replay", "not the one in the SGX quote"),
    ],
)
def test_what_does_not_hold_is_told_to_whoever_starts(platform: str, knob: str, told: str, private_path: Path) -> None:
    """No session can tolerate it."""
    (private_path / "tmp").mkdir()
    attester = rehearse(platform, Rehearsal.parse([knob]), private_path / "rehearsal", machine={})
    with Site.opened(private_path, attester) as site:
        site.post(_OWNER, _SESSION.format(name="demo", mrenclave="00" * 32, rules="tolerate: [simulation]"))
        done = site.run("demo/app")
    assert done.returncode == DeniedError.exit_code
    assert told in done.stderr
    assert "granted" not in done.stdout


def test_a_las_that_says_it_has_hardware_convinces_nobody(mrenclave: str, private_path: Path) -> None:
    """What it says of itself is for the log of whoever started it; the CAS looks at the evidence."""
    (private_path / "tmp").mkdir()
    attester = rehearse("tdx", ALL_WELL, private_path / "rehearsal", machine={})
    assert isinstance(attester, MachineAttester)
    attester.platform, attester.rehearses = "tdx", None
    with Site.opened(private_path, attester) as site:
        place = _Place(site, attester, mrenclave)
        site.post(_OWNER, _SESSION.format(name="demo", mrenclave=mrenclave, rules=place.machines))
        done = site.run("demo/app", SCONE_MODE="HW")
    assert done.returncode == DeniedError.exit_code
    assert "simulation" in done.stderr
    assert "granted" not in done.stdout
