"""What command lines mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from bannock.cli import demo, execute
from bannock.cli import run as run_verb
from bannock.cli.execute_options import parse_execute
from bannock.cli.options import conf_directory, pairs
from bannock.cli.state import KnownCas, StateFile
from bannock.errors import InputError
from bannock.execution.services import ExternalCas
from bannock.runtime.settings import Bind, Mount
from bannock.values import KeyHash

_EXECUTE = ["--application", "copy_demo", "--input", "in", "--output", "out"]
_KEY = str(KeyHash(bytes(range(32))))


def test_run_is_parsed() -> None:
    """Paths become absolute, and of the command only the program counts."""
    options = run_verb._parse(
        [
            "--bind",
            "app:/app",
            "--volume",
            "data=d=1",
            "--mount",
            "memory",
            "--record",
            "r",
            "--",
            "/bin/cp",
            "-a",
            "x",
        ]
    )
    assert options.command == "/bin/cp"
    assert options.binds == (Bind(host=Path.cwd() / "app", enclave=Path("/app")),)
    assert dict(options.volumes) == {"data": Path.cwd() / "d=1"}
    assert options.mount is Mount.MEMORY
    assert options.record == Path.cwd() / "r"


@pytest.mark.parametrize("text", ["app", ":/app", "app:", "app:relative"])
def test_malformed_binds_are_refused(text: str) -> None:
    """A bind names both sides."""
    with pytest.raises(InputError, match="--bind is HOST:ENCLAVE"):
        run_verb._parse(["--bind", text, "--", "x"])


def test_volume_without_a_directory_is_refused() -> None:
    """A volume has a directory."""
    with pytest.raises(InputError, match="--volume data names no directory"):
        run_verb._parse(["--volume", "data=", "--", "x"])


@pytest.mark.parametrize("verb", [run_verb._parse, demo.main], ids=["run", "demo"])
def test_unknown_options_are_usage_errors(verb: object, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that does not exist ends with code 2, and no option may be shortened."""
    assert callable(verb)
    with pytest.raises(SystemExit) as caught:
        verb(["--moun", "fuse", "x"])
    assert caught.value.code == 2
    assert "--moun" in capsys.readouterr().err


def test_execute_embeds_by_default() -> None:
    """Without addresses all services are embedded, and the host is this machine."""
    options = parse_execute(_EXECUTE, {"HOME": "/home/me"})
    assert (options.cas, options.las, options.transfer) == (None, None, None)
    assert options.hosts == ("local",)
    assert options.mount is Mount.AUTO


def test_execute_takes_services_by_address() -> None:
    """The enclave interface of a CAS is at the same host unless said otherwise."""
    options = parse_execute([*_EXECUTE, "-s", "cas.example", "--cas-key", _KEY, "-r", "http://t", "--las", "h"], {})
    cas = options.cas
    assert isinstance(cas, ExternalCas)
    assert (str(cas.client), str(cas.enclave)) == ("cas.example:8081", "cas.example:18765")
    assert str(cas.key) == _KEY
    assert (options.transfer, options.las) == ("http://t", "h")


def test_a_key_belongs_to_a_cas() -> None:
    """A key without the CAS that has it is a mistake."""
    with pytest.raises(InputError, match="belong to --cas"):
        parse_execute([*_EXECUTE, "--cas-key", _KEY], {})


def test_an_attested_cas_is_known(tmp_path: Path) -> None:
    """Without a key, a CAS is who was attested under its name."""
    file = StateFile(tmp_path / "config.json")
    file.change(lambda state: state.with_cas(KnownCas(name="mine", host="cas.example", port=8081, key_hash=_KEY)))
    options = parse_execute([*_EXECUTE, "-s", "mine"], {"SCONE_CLI_CONFIG": str(tmp_path / "config.json")})
    assert options.cas is not None
    assert (str(options.cas.client), str(options.cas.enclave)) == ("cas.example:8081", "cas.example:18765")
    assert str(options.cas.key) == _KEY


def test_dry_run_prints_the_plan_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan shows names of variables and not their values, and leaves no trace."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("12345")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "canary")
    assert execute.main([*_EXECUTE, "--conf", "conf", "--env", "TOKEN", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "further variables: TOKEN" in told
    assert "1 entries, 5 bytes" in told
    assert "canary" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--env", "SESSION=x"], "SESSION is set by the run itself"),
        (["--application", "./nothing"], "there is no application './nothing'"),
        (["--input", "absent"], "the input .*absent is not a directory"),
        (["--output", "file"], "the output .*file is not a directory"),
    ],
)
def test_unusable_requests_are_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], message: str
) -> None:
    """What cannot work is told before anything is made."""
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        execute.main([*_EXECUTE, "--conf", "conf", *more])
    assert not (tmp_path / "conf").exists()


def test_pairs_from_the_environment() -> None:
    """A name alone takes its value from the environment, which keeps it out of the list of processes."""
    assert pairs("--env", ["A=1=2", "B", "C="], {"B": "secret"}) == {"A": "1=2", "B": "secret", "C": ""}


@pytest.mark.parametrize("texts", [["A"], ["=x"], ["A=1", "A=2"], [""]])
def test_malformed_pairs_are_refused(texts: list[str]) -> None:
    """A pair has a name, a value, and comes once."""
    with pytest.raises(InputError):
        pairs("--volume", texts)


def test_absent_variable_is_named() -> None:
    """A variable that the environment does not have is an error, not an empty text."""
    with pytest.raises(InputError, match="there is no MISSING in the environment"):
        pairs("--env", ["MISSING"], {})


def test_place_of_the_configuration(tmp_path: Path) -> None:
    """The option wins over $BANNOCK_HOME, which wins over the home directory."""
    assert conf_directory(tmp_path, {"BANNOCK_HOME": "/other"}) == tmp_path
    assert conf_directory(None, {"BANNOCK_HOME": "/other"}) == Path("/other")
    assert conf_directory(None, {}) == Path.home() / ".config" / "bannock"
