"""What ``scone`` remembers between commands."""

from __future__ import annotations

import json
import stat
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from bannock.cli import scone
from bannock.cli.state import KnownCas, State, StateFile, state_file
from bannock.errors import InputError
from bannock.net.tls import Identity
from bannock.values import KeyHash


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    """A file that is not there yet."""
    return StateFile(tmp_path / "new" / "config.json")


def _known(name: str = "cas.example", port: int = 8081) -> KnownCas:
    return KnownCas(name=name, host=name, port=port, key_hash=str(KeyHash(bytes(32))))


def test_file_is_private(state: StateFile) -> None:
    """Nobody else may read it, nor look into the directory that was made for it."""
    state.identity()
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in state.path.parent.iterdir()] == ["config.json"]


def test_identity_is_as_scripts_read_it(state: StateFile) -> None:
    """`.identity` is a PEM key and a PEM certificate with line ends; it is made once."""
    key_hash = state.identity().key_hash
    pem = json.loads(state.path.read_text())["identity"].encode()
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert load_pem_private_key(pem, None).public_key() == load_pem_x509_certificate(pem).public_key()
    assert state.identity().key_hash == key_hash
    assert StateFile(state.path).identity().key_hash == key_hash


def test_signing_key_is_made_once(state: StateFile) -> None:
    """The key that sessions are signed with stays the same, and is another one than that of TLS."""
    key = state.signing_key().public_key().public_bytes_raw()
    assert state.signing_key().public_key().public_bytes_raw() == key
    assert state.read().identity is None


def test_reading_writes_nothing(state: StateFile) -> None:
    """No file appears because somebody looked."""
    assert state.read() == State()
    assert not state.path.parent.exists()


def test_round_trip(state: StateFile) -> None:
    """All of it comes back, and what a later version put in as well."""
    state.identity()
    state.signing_key()
    state.change(lambda before: before.with_cas(_known()))
    document = json.loads(state.path.read_text())
    document["later"] = {"x": 1}
    state.path.write_text(json.dumps(document))
    before = state.read()
    state.change(lambda found: replace(found, receipts={"a": {"b": {"generation": 1, "hash": "x"}}}))
    assert json.loads(state.path.read_text())["later"] == {"x": 1}
    assert replace(state.read(), receipts={}) == before


def test_concurrent_changes_are_all_kept(state: StateFile) -> None:
    """Commands that run at the same time lose nothing of each other."""

    def add(number: int) -> None:
        StateFile(state.path).change(lambda before: before.with_cas(_known(f"cas-{number}")))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(state.read().cas) == 12


def test_secrets_are_not_shown(state: StateFile) -> None:
    """Neither the state nor an error shows a key."""
    state.identity()
    assert "PRIVATE" not in repr(state.read())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "cas": {}}', "[" * 100_000, "hunter2"]
)
def test_other_files_are_refused(state: StateFile, text: str) -> None:
    """A file of somebody else is neither used nor written over."""
    state.path.parent.mkdir()
    state.path.touch(mode=0o600)
    state.path.write_text(text)
    with pytest.raises(InputError, match="not a configuration file of this command") as caught:
        state.identity()
    assert "hunter2" not in str(caught.value)
    assert state.path.read_text() == text


def test_open_file_is_refused(state: StateFile) -> None:
    """A key that others could have read is not used."""
    state.identity()
    state.path.chmod(0o644)
    with pytest.raises(InputError, match="open to others"):
        state.identity()


def test_link_stays_a_link(tmp_path: Path) -> None:
    """Where the file is a link, what it leads to is replaced."""
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "real.json")
    StateFile(link).identity()
    assert link.is_symlink()
    assert StateFile(tmp_path / "real.json").identity().key_hash == StateFile(link).identity().key_hash


def test_first_cas_is_the_default() -> None:
    """Later ones are found by name or address, and the default stays."""
    state = State().with_cas(_known()).with_cas(_known("other", 1234))
    assert state.find_cas(None).name == "cas.example"
    for name in ("other", "other:1234", "https://other:1234/"):
        assert state.find_cas(name).port == 1234
    with pytest.raises(InputError, match=r"attested: cas\.example, other"):
        state.find_cas("third")
    with pytest.raises(InputError, match="no CAS has been attested yet"):
        State().find_cas(None)


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """~/.cas/config.json, SCONE_CLI_CONFIG, or --config, which counts most."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert state_file({}).path == tmp_path / "home" / ".cas" / "config.json"
    assert state_file({"SCONE_CLI_CONFIG": str(tmp_path / "env.json")}).path == tmp_path / "env.json"
    monkeypatch.setenv("SCONE_CLI_CONFIG", str(tmp_path / "env.json"))
    assert scone.main(["-c", str(tmp_path / "option.json"), "self", "show-key-hash"]) == 0
    assert (tmp_path / "option.json").exists()
    assert not (tmp_path / "env.json").exists()


def test_self_tells_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every verb of `self` prints what the others, and `cert`, say of the same identity."""
    monkeypatch.setenv("SCONE_CLI_CONFIG", str(tmp_path / "config.json"))

    def told(*arguments: str) -> str:
        assert scone.main(["self", *arguments]) == 0
        return capsys.readouterr().out

    whole, certificate, key_hash = told("show"), told("show-certificate"), told("show-key-hash")
    assert certificate in whole
    assert key_hash in whole
    assert told("show-session-signing-key") in whole
    assert told("show-session-signing-key").startswith("-----BEGIN PUBLIC KEY-----\n")
    assert len(told("show-certificate-hash").strip()) == 64
    assert Identity.from_pem(json.loads((tmp_path / "config.json").read_text())["identity"].encode())
    (tmp_path / "me.crt").write_text(certificate)
    assert scone.main(["cert", "show-key-hash", str(tmp_path / "me.crt")]) == 0
    assert capsys.readouterr().out == key_hash


def test_certificate_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the file and what it has to begin with."""
    (tmp_path / "x").write_text("hello")
    assert scone.main(["cert", "show-key-hash", str(tmp_path / "x")]) == InputError.exit_code
    assert "holds no certificate in PEM" in capsys.readouterr().err


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)


@given(
    document=st.fixed_dictionaries(
        {
            "format": st.just(1),
            "identity": _JSON,
            "session_signing_key": _JSON,
            "default_cas": _JSON,
            "cas": _JSON | st.dictionaries(st.text(max_size=3), _JSON, max_size=2),
            "receipts": _JSON | st.dictionaries(st.text(max_size=3), st.dictionaries(st.text(max_size=3), _JSON)),
        }
    )
)
def test_any_document_is_state_or_refused(document: object) -> None:
    """A file that somebody has edited is used, or refused as one; nothing else happens later."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        try:
            state = StateFile(path).read()
        except InputError as error:
            assert "not a configuration file of this command" in error.message  # noqa: PT017 - or none at all
        else:
            assert json.loads(json.dumps(state.to_json()))["cas"] == {}
