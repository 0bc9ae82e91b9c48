"""``scone cas provision`` and ``update-config`` with a real CAS."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.cas import EmbeddedCas
from bannock.errors import ConflictError, DeniedError, EvidenceError, InputError, PeerError, PolicySyntaxError
from bannock.identity.cas_program import cas_measurement
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.cli.conftest import Scone

_CONFIG = '[api_identity]\ncommon_name = "ours"\n'
_DEBUG = "--only_for_testing-debug"


@pytest.fixture
def token(cas: EmbeddedCas) -> str:
    """What the CAS printed at its start."""
    found = cas.cas.owner.token
    assert found is not None
    return found


@pytest.fixture
def claim(cas: EmbeddedCas, token: str) -> list[str]:
    """The command up to its subcommand."""
    Path("config.toml").write_text(_CONFIG)
    address = f"localhost:{cas.client_address.port}"
    return [
        *("cas", "provision", address, "-c", str(cas.key_hash), "--config-file", "config.toml", "--token", token),
    ]


def test_owner_claims_and_configures(scone: Scone, cas: EmbeddedCas, claim: list[str]) -> None:
    """The identity of the command becomes the owner; it may change the configuration, and nobody else may."""
    told = scone.done(*claim, "with-attestation", "-GCS", _DEBUG, str(cas_measurement()))
    owner = scone.done("self", "show-key-hash").strip()
    assert told.endswith(f"was provisioned; its owner is {owner}\n")
    assert scone.done("cas", "list").startswith("*")
    Path("new.yaml").write_text("api_identity: {common_name: other}\n")
    assert "was updated" in scone.done("cas", "update-config", "--config-file", "new.yaml")
    record = cas.cas.owner.record
    assert record is not None
    assert (str(record.key_hash), record.form) == (owner, "yaml")
    state = (Path.home() / ".cas" / "config.json").rename("owner.json")
    address = f"localhost:{cas.client_address.port}"
    scone.done("cas", "attest", address, _DEBUG)
    answer = scone("cas", "update-config", "--config-file", "new.yaml")
    assert answer.code == DeniedError.exit_code
    scone.done("-c", str(state), "cas", "update-config", "-c", address, "--config-file", "config.toml")


def test_owner_tries_a_session_on_what_was_seen(scone: Scone, claim: list[str]) -> None:
    """Before it is in force; a file that is no session is told before the CAS is asked."""
    scone.done(*claim, "with-attestation", _DEBUG)
    Path("stricter.yml").write_text('name: $NAME\nversion: "0.3.11"\n')
    told = scone.done("cas", "forecast", "--session", "stricter.yml", "-e", "NAME=demo")
    assert told == "0 of 0 would stop\n"
    answer = scone("cas", "forecast", "--session", "stricter.yml", "--json")
    assert answer.code == PolicySyntaxError.exit_code
    assert '"total": 0' in scone.done("cas", "forecast", "--session", "stricter.yml", "-e", "NAME=demo", "--json")


def test_second_owner_is_refused(scone: Scone, claim: list[str]) -> None:
    """The first one keeps it."""
    scone.done(*claim, "with-attestation", _DEBUG)
    answer = scone("-c", "other.json", *claim, "with-attestation", _DEBUG)
    assert answer.code == ConflictError.exit_code
    assert "has an owner already" in answer.err


def test_token_has_to_be_right(scone: Scone, claim: list[str], token: str) -> None:
    """A wrong one is refused by the CAS, and no error holds either."""
    claim[-1] = "0" * 32
    answer = scone(*claim, "with-attestation", _DEBUG)
    assert answer.code == DeniedError.exit_code
    assert token not in answer.err
    claim[-1] = "hunter2"
    answer = scone(*claim, "with-attestation", _DEBUG)
    assert answer.code == InputError.exit_code
    assert "hunter2" not in answer.err


def test_token_from_a_file(scone: Scone, claim: list[str], token: str) -> None:
    """So it need not be on the command line."""
    Path("token").write_text(token)
    claim[-1] = "@token"
    scone.done(*claim, "with-attestation", _DEBUG)


def test_attestation_comes_first(scone: Scone, cas: EmbeddedCas, claim: list[str]) -> None:
    """A CAS that is not what it has to be gets nothing."""
    for options in (["with-attestation"], ["with-attestation", _DEBUG, "--mrenclave", "00" * 32]):
        assert scone(*claim, *options).code == DeniedError.exit_code
    claim[4] = str(KeyHash(bytes(32)))
    assert scone(*claim, "with-attestation", _DEBUG).code in (PeerError.exit_code, EvidenceError.exit_code)
    assert cas.cas.owner.record is None


def test_without_attestation(scone: Scone, claim: list[str]) -> None:
    """For tests, with a warning; the key is compared nevertheless."""
    answer = scone(*claim, "only_for_testing-without-attestation")
    assert answer.code == 0
    assert "the CAS is not attested" in answer.err


def test_database_key_is_told_to_everybody(scone: Scone, claim: list[str]) -> None:
    """Whoever attests the CAS afterwards has to accept that its owner can read all secrets; no output has the key."""
    key = "5a" * 32
    answer = scone(*claim, "--database-key", key, "with-attestation", _DEBUG)
    assert answer.code == 0
    assert "can read all secrets" in answer.err
    assert key not in answer.out + answer.err
    attest = ("cas", "attest", claim[2], _DEBUG)
    assert "can read the secrets of all sessions" in scone(*attest).err
    scone.done(*attest, "--allow-cas-owner-secret-access")


def test_subcommand_is_needed(scone: Scone, claim: list[str]) -> None:
    """Whether to attest is never left open."""
    answer = scone(*claim)
    assert answer.code == InputError.exit_code
    assert "ends with with-attestation or only_for_testing-without-attestation" in answer.err


def test_configuration_that_is_wrong_is_refused(scone: Scone, cas: EmbeddedCas, claim: list[str]) -> None:
    """The CAS says what is wrong with it, and has no owner yet."""
    Path("config.toml").write_text("[api_identiy]\n")
    answer = scone(*claim, "with-attestation", _DEBUG)
    assert answer.code == InputError.exit_code
    assert "api_identity" in answer.err
    assert cas.cas.owner.record is None


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[EmbeddedCas]:
    """Another CAS, that nobody owns."""
    with EmbeddedCas(tmp_path / "backup") as running:
        yield running


def test_backup_is_registered(scone: Scone, claim: list[str], backup: EmbeddedCas) -> None:
    """By the owner alone; the two CASes attest each other, and its key is the one that is known of it."""
    scone.done(*claim, "with-attestation", _DEBUG)
    address = f"localhost:{backup.client_address.port}"
    told = scone.done("cas", "register-backup", address, "-GCS")
    assert f"https://{address}/ with the key {backup.key_hash} is a registered backup of" in told
    other = str(KeyHash(bytes(32)))
    assert scone("cas", "register-backup", address, "--key-hash", other).code != 0
    scone.done("cas", "attest", address, _DEBUG)
    scone.done("cas", "register-backup", address)
    state = Path.home() / ".cas" / "config.json"
    state.write_text(state.read_text().replace(f'"key_hash": "{backup.key_hash}"', f'"key_hash": "{other}"'))
    assert scone("cas", "register-backup", address).code != 0
    scone.done("-c", "bob.json", "cas", "attest", claim[2], _DEBUG)
    assert scone("-c", "bob.json", "cas", "register-backup", address).code == DeniedError.exit_code


def test_upgrade(scone: Scone, claim: list[str], backup: EmbeddedCas, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other software has to be named; new keys are made only when somebody says yes."""
    scone.done(*claim, "with-attestation", _DEBUG)
    address = f"localhost:{backup.client_address.port}"
    assert scone("cas", "register-upgrade", address).code == InputError.exit_code
    assert scone("cas", "register-upgrade", address, "--mrenclave", "00" * 32).code == DeniedError.exit_code
    measurement = str(cas_measurement())
    assert "is a registered upgrade of" in scone.done("cas", "register-upgrade", address, "--mrenclave", measurement)
    assert "there is nobody to ask" in scone("cas", "start-upgrade").err
    for said, code in (("n\n", InputError.exit_code), ("", InputError.exit_code), ("yes\n", 0)):
        terminal = io.StringIO(said)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        assert scone("cas", "start-upgrade").code == code
    assert "was started" in scone.done("cas", "start-upgrade", "--yes")
    assert scone.done("cas", "version")
