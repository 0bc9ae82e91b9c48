"""``sconectl``: help for the manifest at hand, defaults, schemas, and what is refused before anything is done."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING

import pytest

from bannock.cli import sconectl, sconectl_apply, sconectl_schema
from bannock.cli.sconectl_options import parse_apply, parser_of
from bannock.errors import InputError, ManifestSyntaxError
from tests.unit.mesh.manifests import MESH, SERVICE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with both manifests, as the current one."""
    (tmp_path / "service.yaml").write_text(SERVICE)
    (tmp_path / "mesh.yaml").write_text(MESH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _help(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        sconectl_apply.main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("manifests")
def test_help_is_of_the_manifest_at_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """A service has --no-push and a chart template, a mesh --release and --output; without one, all are shown."""
    service = _help(capsys, "--help", "-f", "service.yaml")
    assert "--no-push" in service
    assert "--helm-template" in service
    assert "--release" not in service
    mesh = _help(capsys, "--filename=mesh.yaml", "-h")
    assert "--release" in mesh
    assert "--no-pull" in mesh
    assert "--no-push" not in mesh
    both = _help(capsys, "--help")
    assert "--release" in both
    assert "--no-push" in both


@pytest.mark.usefixtures("manifests")
def test_defaults_of_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is made for that."""
    assert sconectl_apply.main(["-fservice.yaml", "-p"]) == 0
    told = capsys.readouterr().out
    assert "  a mesh has to set:\n    API_USER\n  a mesh may set:\n    GREETING=hello\n    NOTHING=\n" in told


def test_manifests_that_are_found_by_their_names(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Manifest.yaml, or Meshfile.yaml; without one, it is said what to do."""
    with pytest.raises(InputError, match=r"neither Manifest\.yaml nor Meshfile\.yaml"):
        sconectl_apply.main([])
    (manifests / "service.yaml").rename(manifests / "Manifest.yaml")
    assert sconectl_apply.main(["--print-defaults"]) == 0
    assert "python-hello-user" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["kind: genservice\n", "a: [", "\xff"])
def test_what_is_no_manifest_is_told(manifests: Path, text: str) -> None:
    """By the place of what is wrong."""
    (manifests / "service.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises((ManifestSyntaxError, InputError)):
        sconectl_apply.main(["-f", "service.yaml"])


def test_options_of_the_public_tool(tmp_path: Path) -> None:
    """Long and short, as scripts have them."""
    words = ["-f", "x", "-vvvvvvvv", "--mode=debug", "--set-version", "5.8.0", "-t", "out", "-n", "-d"]
    service = parse_apply(parser_of("genservice").parse_args(words), tmp_path, {"SCONECTL_REPO": "r.example/x"})
    assert (service.verbose, service.mode, service.version, str(service.target)) == (8, "debug", "5.8.0", "out")
    assert (service.push, service.repository, service.dry_run) == (False, "r.example/x", True)
    words = ["-f", "x", "--release", "app", "-o", "yaml", "-m", "https://x", "--policy-namespace", "ns", "-q", "-n"]
    mesh = parse_apply(parser_of("mesh").parse_args(words), tmp_path, {})
    assert (mesh.release, mesh.output, mesh.maa, mesh.policy_namespace) == ("app", "yaml", "https://x", "ns")
    assert (mesh.verbose, mesh.pull) == (-1, False)
    assert parse_apply(parser_of("mesh").parse_args([]), tmp_path, {}).pull
    assert not parse_apply(parser_of("mesh").parse_args([]), tmp_path, {"SCONECTL_NOPULL": "1"}).pull
    assert parse_apply(parser_of("genservice").parse_args([]), tmp_path, {}).push
    assert not parse_apply(parser_of("genservice").parse_args(["--dry-run"]), tmp_path, {}).push


def test_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    """They are JSON."""
    for kind in ("genservice", "mesh"):
        assert sconectl_schema.main([kind]) == 0
        assert json.loads(capsys.readouterr().out)["properties"]["kind"]["enum"] == [kind]


def test_every_verb_is_there() -> None:
    """What the overview names exists, and has a main."""
    for module, _ in sconectl.VERBS.values():
        assert callable(importlib.import_module(module).main)
