"""What an apply would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bannock.charts.chart import Chart
from bannock.mesh.diff import chart_changes, policy_changes
from bannock.mesh.policies import policies_of
from tests.unit.mesh.meshed import FIRST, SECOND, facts, service, terms

if TYPE_CHECKING:
    from pathlib import Path


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Tell what changes between two versions of the tutorial's service, in all of its policies."""
    old, new = (policies_of([service(**changed)], terms()) for changed in (before, after))
    return [
        line.strip()
        for stored, policy in zip(old, new, strict=True)
        for line in policy_changes(policy, f"predecessor: {'0' * 64}\n{stored.text}")
    ]


def test_nothing() -> None:
    """The hash of the predecessor is no change; what is not there is new."""
    assert _changes({}, {}) == []
    (policy, *_) = policies_of([service()], terms())
    assert list(policy_changes(policy, None)) == ["+ my: a new session"]


def test_what_changes_is_told_by_its_place() -> None:
    """Measurements, variables, words of the command, files; what came and what went."""
    files = ({"path": "/a", "content": "canary-a"}, {"path": "/b", "content": "b"})
    after = facts(local={"NEW": "1"}, secrets=(), command=("/usr/local/bin/python3",), injection_files=files[:1])
    before = facts(injection_files=({"path": "/a", "content": "canary-b"}, files[1]))
    told = _changes({"facts": before}, {"facts": after, "measurements": (SECOND, FIRST)})
    assert "- secrets" in told
    assert "- services[0].environment.API_PASSWORD" in told
    assert '+ services[0].environment.NEW: "1"' in told
    assert "~ images[0].injection_files[0].content: (not shown) -> (not shown)" in told
    assert "- images[0].injection_files[1]" in told
    assert any(
        line.startswith('~ services[0].command: ["/usr/local/bin/python3", "print_env.py"] -> ') for line in told
    )
    assert any(line.startswith(f'~ services[0].attestation[0].mrenclave: ["{FIRST}"] -> ["{SECOND}"') for line in told)


def test_no_secret_is_told() -> None:
    """Neither values of secrets nor those of variables that are called like one, however short."""

    def version(value: str) -> dict[str, Any]:
        return {
            "facts": facts(local={"API_TOKEN": value}),
            "secrets": ({"name": "password", "kind": "ascii", "value": value},),
        }

    told = _changes(version("s1"), version("s2"))
    assert "~ secrets[password].value: (not shown) -> (not shown)" in told
    assert "~ services[0].environment.API_TOKEN: (not shown) -> (not shown)" in told


def test_the_chart(tmp_path: Path) -> None:
    """File by file; policies in it are ciphertext, which is another one each time."""
    before = Chart(name="helm", files={"Chart.yaml": "a: 1\n", "values.yaml": 'x: 1\n  documents: {"1": "a"}\n'})
    directory = before.write(tmp_path)
    same = Chart(name="helm", files={"Chart.yaml": "a: 1\n", "values.yaml": 'x: 1\n  documents: {"1": "b"}\n'})
    assert list(chart_changes(same, directory)) == []
    other = Chart(name="helm", files={"Chart.yaml": "a: 2\n", "new.yaml": "b\n"})
    told = list(chart_changes(other, directory))
    assert told[:2] == ["--- helm/Chart.yaml", "+++ helm/Chart.yaml"]
    assert {"-a: 1", "+a: 2", "--- /dev/null", "+++ helm/new.yaml", "+b", "+++ /dev/null", "-x: 1"} <= set(told)
    assert next(iter(chart_changes(before, tmp_path / "none"))) == "--- /dev/null"
