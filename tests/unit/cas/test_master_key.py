"""The file of the master key: as it is, or sealed under a passphrase."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from bannock.cas.master_key import MasterKeyFile, Passphrase, Plain
from bannock.errors import InputError, IntegrityError
from bannock.values import Secret

if TYPE_CHECKING:
    from pathlib import Path

_KEY = Secret(b"k" * 32)


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MasterKeyFile:
    """A key that is sealed under a passphrase of the environment."""
    monkeypatch.setenv("TEST_PASSPHRASE", "correct horse")
    file = MasterKeyFile(path=tmp_path / "key", protection=Passphrase(source="env:TEST_PASSPHRASE"))
    file.write(_KEY, os.urandom)
    return file


def test_a_key_as_it_is_comes_back(tmp_path: Path) -> None:
    """The file has 64 hexadecimal digits and is the owner's alone."""
    file = MasterKeyFile(path=tmp_path / "key", protection=Plain())
    file.write(_KEY, os.urandom)
    assert file.read() == _KEY
    assert file.path.read_text() == "6b" * 32 + "\n"
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_a_sealed_key_comes_back(sealed: MasterKeyFile, tmp_path: Path) -> None:
    """The passphrase may be in the environment, a private file or a descriptor; the key is not in the file."""
    assert b"kkkk" not in sealed.path.read_bytes()
    assert "6b6b" not in sealed.path.read_text()
    (tmp_path / "passphrase").write_text("correct horse\n")
    (tmp_path / "passphrase").chmod(0o600)
    reader, writer = os.pipe()
    os.write(writer, b"correct horse\n")
    os.close(writer)
    for source in ("env:TEST_PASSPHRASE", f"file:{tmp_path}/passphrase", f"fd:{reader}"):
        assert MasterKeyFile(path=sealed.path, protection=Passphrase(source=source)).read() == _KEY


def test_another_passphrase_is_refused(sealed: MasterKeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has neither of the two."""
    monkeypatch.setenv("TEST_PASSPHRASE", "battery staple")
    with pytest.raises(IntegrityError, match="is not opened by this passphrase") as caught:
        sealed.read()
    assert "battery" not in str(caught.value)


def test_a_changed_file_is_refused(sealed: MasterKeyFile) -> None:
    """Salt, costs and what is sealed are all part of it."""
    document = json.loads(sealed.path.read_text())
    for change in (
        {"kdf": {**document["kdf"], "salt": "00" * 16}},
        {"kdf": {**document["kdf"], "passes": 2}},
        {"sealed": document["sealed"].replace("A", "B")},
    ):
        sealed.path.write_text(json.dumps({**document, **change}))
        with pytest.raises(IntegrityError, match="was changed"):
            sealed.read()


@pytest.mark.parametrize(
    "text",
    ["{}", "{", '{"format": 1}', '{"format": "bannock-master-key-1", "kind": "passphrase", "kdf": []}']
    + [
        '{"format":"bannock-master-key-1","kind":"passphrase","sealed":"","kdf":'
        f'{{"name":"argon2id","salt":"00","passes":{passes},"lanes":{lanes},"kib":{kib}}}}}'
        for passes, lanes, kib in ((0, 1, 64), (10**9, 1, 64), (1, 10**9, 64), (1, 1, 10**9), ("1", 1, 64), (1, 1, 1))
    ],
)
def test_a_malformed_file_is_refused(sealed: MasterKeyFile, text: str) -> None:
    """Whatever it asks for, nothing is derived that takes more memory or time than we would."""
    sealed.path.write_text(text)
    with pytest.raises(InputError):
        sealed.read()


def test_the_wrong_way_is_told(sealed: MasterKeyFile, tmp_path: Path) -> None:
    """A file that is sealed is not taken for one that is not, nor the other way round."""
    with pytest.raises(InputError, match="has the key sealed, expected it as it is"):
        MasterKeyFile(path=sealed.path, protection=Plain()).read()
    plain = MasterKeyFile(path=tmp_path / "plain", protection=Plain())
    plain.write(_KEY, os.urandom)
    with pytest.raises(InputError, match="has the key as it is, expected it sealed"):
        MasterKeyFile(path=plain.path, protection=sealed.protection).read()


@pytest.mark.parametrize("source", ["hunter2", "pass:hunter2", "file:", "fd:x", "env:"])
def test_a_passphrase_is_not_written_down(source: str) -> None:
    """What looks like one is not repeated."""
    with pytest.raises(InputError, match="is read from file:PATH, fd:NUMBER or env:NAME") as caught:
        Passphrase(source=source)
    assert "hunter2" not in str(caught.value)


def test_a_passphrase_that_is_not_there_is_told(tmp_path: Path) -> None:
    """An empty one counts as none; a file that others can read is refused."""
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o644)
    for source, message in (
        ("env:TEST_NOT_THERE", "there is no passphrase in env:TEST_NOT_THERE"),
        (f"file:{tmp_path}/open", "open to others"),
        (f"file:{tmp_path}/none", "cannot read"),
        ("fd:987", "cannot read the passphrase from descriptor 987"),
    ):
        with pytest.raises(InputError, match=message):
            Passphrase(source=source).read()
