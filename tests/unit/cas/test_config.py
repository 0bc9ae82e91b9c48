"""The configuration file: what it may say, and what is wrong with others."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bannock.cas import CasConfig, load_config, serve
from bannock.cas.config import _KEYS
from bannock.cas.master_key import MasterKeyFile, Passphrase
from bannock.errors import InputError, causes
from bannock.net.address import Address


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    """Files are in the home directory, and the CAS listens on loopback at its usual ports."""
    config = load_config(None, home=tmp_path)
    assert config == CasConfig(
        database=tmp_path / "cas.db",
        master_key=tmp_path / "master.key",
        api=Address("127.0.0.1", 8081),
        enclave=Address("127.0.0.1", 18765),
    )


def test_a_file_says_everything(tmp_path: Path) -> None:
    """Every key of the file is heeded."""
    file = tmp_path / "cas.toml"
    file.write_text(
        f"""
        database = "sqlite:///{tmp_path}/data/cas.db"
        master_key = "{tmp_path}/key"
        [api]
        listen = "192.0.2.7:1"
        [enclave]
        listen = "[::]"
        [certificate]
        names = ["cas.example.org"]
        addresses = ["192.0.2.1"]
        """
    )
    assert load_config(file, home=tmp_path) == CasConfig(
        database=tmp_path / "data" / "cas.db",
        master_key=tmp_path / "key",
        api=Address("192.0.2.7", 1),
        enclave=Address("::", 18765),
        names=("cas.example.org",),
        addresses=("192.0.2.1",),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "databse = 'x'",
            "databse is not known, allowed: api, attestation, audit_log, ",
        ),
        ("[api]\nport = 1", "[api] port is not known, allowed: listen"),
        ("api = 1", "api is a table, [api]"),
        ("database = 1", "database is a text in quotes"),
        (
            "database = 'oracle://x'",
            "a database is a path or an URL sqlite:///PATH or postgresql://HOST/DATABASE, found one of 'oracle'",
        ),
        (
            "database = 'postgresql+asyncpg://x:secret@y/z'",
            "PostgreSQL is used through psycopg, found postgresql+asyncpg",
        ),
        ("database = 'postgresql://x:secret@y:z/w'", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS"),
        ("[api]\nlisten = 'a:b'", "an address is HOST or HOST:PORT, found 'a:b'"),
        ("[certificate]\naddresses = ['x']", "an IP address was expected, found 'x'"),
        ("[certificate]\nnames = 'x'", "names is a list of texts"),
        ("=", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file, the key and what was expected."""
    file = tmp_path / "cas.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(file, home=tmp_path)
    assert str(file) in caught.value.message
    assert any(message in str(cause) for cause in causes(caught.value))


def test_a_postgresql_database_has_an_url(tmp_path: Path) -> None:
    """It is kept as a secret, since it may hold a password; the file of the master key has the counter beside it."""
    file = tmp_path / "cas.toml"
    file.write_text('database = "postgresql://bannock:canary@db.example.org/cas?sslmode=verify-full"')
    config = load_config(file, home=tmp_path)
    assert config.postgresql is not None
    assert config.postgresql.reveal() == b"postgresql://bannock:canary@db.example.org/cas?sslmode=verify-full"
    assert "canary" not in repr(config)
    assert config.counter == tmp_path / "master.key.counter"


def test_the_counter_can_be_elsewhere(tmp_path: Path) -> None:
    """The farther from the database, the better."""
    file = tmp_path / "cas.toml"
    file.write_text('rollback_counter = "/mnt/other/counter"')
    assert load_config(file, home=tmp_path).counter == Path("/mnt/other/counter")


def test_a_master_key_may_be_sealed(tmp_path: Path) -> None:
    """A table says where the file is and what it is sealed under."""
    file = tmp_path / "cas.toml"
    file.write_text('[master_key]\nfile = "/etc/key"\npassphrase = "env:CAS_PASSPHRASE"')
    config = load_config(file, home=tmp_path)
    assert config.key_file == MasterKeyFile(path=Path("/etc/key"), protection=Passphrase(source="env:CAS_PASSPHRASE"))
    file.write_text("[master_key]\n")
    assert load_config(file, home=tmp_path).key_file == CasConfig.in_directory(tmp_path).key_file
    file.write_text('[master_key]\npassphrase = "hunter2"')
    with pytest.raises(InputError, match="is read from file:PATH") as caught:
        load_config(file, home=tmp_path)
    assert "hunter2" not in str(caught.value)


def test_the_public_spelling_is_understood(tmp_path: Path) -> None:
    """The example of SCONE's reference gives what our own keys give."""
    theirs, ours = tmp_path / "theirs.toml", tmp_path / "ours.toml"
    theirs.write_text(
        '[database]\npath = "/etc/cas/cas.db"\n[api]\napi_listen = "0.0.0.0:8081"\nenclave_listen = "0.0.0.0:18765"\n'
    )
    ours.write_text(
        'database = "/etc/cas/cas.db"\n[api]\nlisten = "0.0.0.0:8081"\n[enclave]\nlisten = "0.0.0.0:18765"\n'
    )
    assert load_config(theirs, home=tmp_path) == load_config(ours, home=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[database]\nfile = "x"', "[database] has the key path, and no other"),
        ('[api]\nlisten = "a"\napi_listen = "b"', "keep one of them"),
        ('[api]\nenclave_listen = "a"\n[enclave]\nlisten = "b"', "[api] enclave_listen and [enclave] listen say"),
        ('provisioning = "perhaps"', "provisioning is optional or required, found 'perhaps'"),
        ("[attestation]\nlas = 1", "las is a text in quotes"),
        ('[metrics]\nport = "x"', "[metrics] port is not known"),
    ],
)
def test_slips_in_newer_keys(tmp_path: Path, text: str, message: str) -> None:
    """Each is named."""
    file = tmp_path / "cas.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(file, home=tmp_path)
    assert message in caught.value.message


def test_newer_keys(tmp_path: Path) -> None:
    """Who has to own it, who vouches for it, and where it tells what it counts."""
    file = tmp_path / "cas.toml"
    file.write_text('provisioning = "required"\n[attestation]\nlas = "unix:/x"\n[metrics]\nlisten = "127.0.0.1"\n')
    config = load_config(file, home=tmp_path)
    assert (config.provisioning_required, config.las, config.metrics) == (True, "unix:/x", Address("127.0.0.1", 9464))


def test_every_key_is_documented() -> None:
    """docs/cas-operation.md has a row for each, and for nothing else."""
    text = (Path(__file__).parents[3] / "docs" / "cas-operation.md").read_text(encoding="utf-8")
    table = text.partition("| key | meaning |")[2].partition("\n\n")[0]
    rows = {row.split("|")[1] for row in table.splitlines()[2:] if row.startswith("|")}
    named = {name for row in rows for name in re.findall(r"[a-z_]+", row)}
    assert named >= set(_KEYS[""])
    for section in ("api", "enclave", "certificate", "attestation", "metrics"):
        assert named >= _KEYS[section]
    assert named <= {key for keys in _KEYS.values() for key in keys}


def test_a_passphrase_that_can_be_read_once_serves_one_process(tmp_path: Path) -> None:
    """The others would have none."""
    config = replace(CasConfig.in_directory(tmp_path), protection=Passphrase(source="fd:0"))
    with pytest.raises(InputError, match="can be read once"):
        serve(config, ready=lambda *_: None, workers=2)
    with pytest.raises(InputError, match="1 to 64 processes, found 0"):
        serve(config, ready=lambda *_: None, workers=0)
