"""``sconectl scone_init`` and ``check_prerequisites``, with stand-ins of kubectl, helm and docker."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from bannock.cli import sconectl
from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from pathlib import Path

kubernetes_validate = pytest.importorskip("kubernetes_validate")

_STAND_IN = """\
#!{python} -IS
import json, pathlib, sys
state = json.loads(pathlib.Path({state!r}).read_text())
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
given = sys.stdin.read() if "-" in words else ""
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([[name, *words], given]) + "\\n")
key = " ".join([name, *words[:3]])
answer = next((value for start, value in state.items() if key.startswith(start)), "")
if answer is None:
    sys.exit("error: connection refused")
print(answer)
"""


@dataclass
class Machine:
    """Programs of a machine."""

    directory: Path
    capsys: pytest.CaptureFixture[str]

    def answers(self, **answers: str | None) -> None:
        """Say what the stand-ins print, by the beginning of a command line (``_`` is a space); None: they fail."""
        (self.directory / "state").write_text(
            json.dumps({key.replace("_", " "): each for key, each in answers.items()})
        )

    def calls(self) -> list[tuple[list[str], str]]:
        """Give command lines, and what came on standard input."""
        path = self.directory / "calls"
        return (
            [(words, given) for words, given in map(json.loads, path.read_text().splitlines())]
            if path.exists()
            else []
        )

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``sconectl``."""
        self.capsys.readouterr()
        code = sconectl.COMMAND.run(arguments)
        return code, *self.capsys.readouterr()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Machine:
    """Give a machine with all three programs."""
    made = Machine(tmp_path / "bin", capsys)
    made.directory.mkdir()
    paths = {"state": str(made.directory / "state"), "calls": str(made.directory / "calls")}
    for name in ("kubectl", "helm", "docker"):
        (made.directory / name).write_text(_STAND_IN.format(python=sys.executable, **paths))
        (made.directory / name).chmod(0o755)
    made.answers()
    monkeypatch.setenv("PATH", str(made.directory))
    for variable in ("SCONECTL_REPO", "SECRET_TOKEN", "SECRET_USERNAME", "SECRET_EMAIL"):
        monkeypatch.delenv(variable, raising=False)
    return made


def _status(ready: int, wanted: int) -> str:
    return json.dumps({"status": {"desiredNumberScheduled": wanted, "numberReady": ready}})


def test_everything_is_installed(machine: Machine) -> None:
    """A namespace, a secret and two releases, by the names that scripts look for; no command line has the token."""
    words = ("--image-pull-secret", "--secret-email", "me@x", "--secret-token", "tok3n", "--secret-username", "me")
    code, out, err = machine("scone_init", *words, "--image-registry", "reg:5000/x", "--set-version", "1", "-v")
    assert (code, out) == (0, ""), err
    assert "sgxplugin-sample-sgxdevplugin and las run in scone" in err
    documents = [json.loads(given) for _, given in machine.calls() if given]
    for document in documents:
        kubernetes_validate.validate(document, "1.35", strict=True)
    assert [document["kind"] for document in documents] == ["Namespace", "Secret"]
    config = json.loads(b64decode(documents[1]["data"][".dockerconfigjson"]))
    assert config["auths"]["reg:5000"]["password"] == "tok3n"
    lines = [" ".join(words) for words, _ in machine.calls()]
    assert "tok3n" not in "".join(lines) + err
    plugin, las = (line for line in lines if line.startswith("helm upgrade --install"))
    assert plugin.startswith("helm upgrade --install sgxplugin-sample ")
    assert "image=reg:5000/x/bannock-sgxdevplugin:1" in plugin
    for setting in ("image=reg:5000/x/bannock-las:1", "useSGXDevPlugin=none", "imagePullSecrets[0].name=sconeapps"):
        assert setting in las


def test_credentials_that_are_missing(machine: Machine) -> None:
    """They are named, and nothing is installed."""
    for words, missing in (
        (("--secret-username", "me"), "--secret-token"),
        (("--secret-username", "me", "--secret-token", "t", "--secret-email", "m"), "which registry"),
    ):
        code, _, err = machine("scone_init", "--image-pull-secret", *words)
        assert code == InputError.exit_code
        assert missing in err
    assert not machine.calls()


def test_nothing_is_missing(machine: Machine) -> None:
    """Every line says so."""
    machine.answers(kubectl_get_daemonset=_status(2, 2))
    code, out, _ = machine("check_prerequisites")
    assert code == 0
    assert [line.split(maxsplit=1)[0] for line in out.splitlines()] == ["ok"] * 6


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"kubectl_get_pods": None}, "connection refused"),
        ({"kubectl_get_daemonset": ""}, "there is no daemon set sgxplugin-sample-sgxdevplugin in the namespace scone"),
        ({"kubectl_get_daemonset": _status(1, 3)}, "the daemon set las is ready on 1 of 3 nodes"),
        ({"kubectl_get_daemonset": _status(0, 0)}, "the daemon set las is for no node"),
        ({"docker": None}, "connection refused"),
    ],
)
def test_what_is_missing(machine: Machine, answers: dict[str, Any], told: str) -> None:
    """It is told with what to do, and the rest is looked at."""
    machine.answers(**{"kubectl_get_daemonset": _status(1, 1), **answers})
    code, out, err = machine("check_prerequisites")
    assert code == EnvironmentFault.exit_code
    assert told in out
    assert "1 of what meshes need is missing" in err


def test_programs_that_are_missing(machine: Machine) -> None:
    """Each is told, and what needs it is not looked at."""
    for name in ("kubectl", "helm", "docker"):
        (machine.directory / name).unlink()
    code, out, _ = machine("check_prerequisites")
    assert code == EnvironmentFault.exit_code
    assert out.count("it is not in the path") == 3
