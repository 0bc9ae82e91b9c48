"""A master key that a TPM seals, and its counter: on a TPM of software, which speaks as one of hardware does."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig, load_config
from bannock.cas.master_key import Passphrase, Plain
from bannock.cas.restore import restore
from bannock.cas.tpm import Tpm
from bannock.errors import EnvironmentFault, InputError, IntegrityError, RollbackError
from bannock.values import KeyHash
from tests.software_tpm import NEEDS_TPM, SoftwareTpm
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ALICE = KeyHash(b"a" * 32)

pytestmark = NEEDS_TPM


@pytest.fixture
def start() -> Iterator[Callable[[], SoftwareTpm]]:
    """Start TPMs, which end with the test."""
    with ExitStack() as running:
        yield lambda: running.enter_context(SoftwareTpm())


def _config(tmp_path: Path, tpm: SoftwareTpm, *, pcrs: str | None = None) -> CasConfig:
    plain = CasConfig.in_directory(tmp_path / "cas")
    return dataclasses.replace(plain, protection=Tpm(tcti=tpm.tcti, pcrs=pcrs))


def test_only_the_tpm_opens_the_master_key(tmp_path: Path, start: Callable[[], SoftwareTpm]) -> None:
    """A copy of all files is of no use with another TPM, nor without one."""
    config = _config(tmp_path, start())
    with Cas(config) as cas:
        key = cas.key_hash
    with Cas(config) as cas:
        assert cas.key_hash == key
    with pytest.raises(IntegrityError, match="is not opened by this TPM"):
        Cas(dataclasses.replace(config, protection=Tpm(tcti=start().tcti)))
    with pytest.raises(EnvironmentFault, match="cannot use the TPM"):
        Cas(dataclasses.replace(config, protection=Tpm(tcti="swtpm:path=/nowhere")))
    with pytest.raises(InputError, match="has the key sealed, expected it as it is"):
        Cas(dataclasses.replace(config, protection=Plain()))


def test_registers_have_to_stay(tmp_path: Path, start: Callable[[], SoftwareTpm]) -> None:
    """A machine that was started in another way does not get the key."""
    tpm = start()
    config = _config(tmp_path, tpm, pcrs="sha256:16")
    Cas(config).close()
    Cas(config).close()
    tpm.run("tpm2_pcrextend", f"16:sha256={'11' * 32}")
    with pytest.raises(IntegrityError, match="its registers have changed"):
        Cas(config)
    tpm.run("tpm2_pcrreset", "16")
    Cas(config).close()


def test_a_key_moves_to_a_tpm_and_away(tmp_path: Path, start: Callable[[], SoftwareTpm]) -> None:
    """By rekey, and by a backup to a machine that has another one."""
    sealed = _config(tmp_path, start())
    plain = CasConfig.in_directory(tmp_path / "cas")
    (tmp_path / "passphrase").write_text("correct horse")
    (tmp_path / "passphrase").chmod(0o600)
    passphrase = Passphrase(source=f"file:{tmp_path}/passphrase")
    with Cas(plain) as cas:
        key = cas.key_hash
        cas.store.rekey(protection=sealed.protection)
    with Cas(sealed) as cas:
        assert cas.key_hash == key
        cas.sessions.post(document(), _ALICE)
        cas.store.backup(tmp_path / "backup", passphrase=passphrase)
        cas.store.rekey(protection=Plain())
    Cas(plain).close()
    other = _config(tmp_path / "elsewhere", start())
    restore(tmp_path / "backup", dataclasses.replace(other, accept_rollback=True), passphrase=passphrase)
    with Cas(other) as cas:
        assert cas.key_hash == key
        assert cas.sessions.read("demo", _ALICE)


def test_an_older_copy_of_everything_is_noticed(tmp_path: Path, start: Callable[[], SoftwareTpm]) -> None:
    """Database and counter file were both put back to what they were: the TPM cannot be."""
    config = _config(tmp_path, start())
    Cas(config).close()
    shutil.copytree(tmp_path / "cas", tmp_path / "copy")
    with Cas(config) as cas:
        cas.sessions.post(document(), _ALICE)
    shutil.rmtree(tmp_path / "cas")
    shutil.copytree(tmp_path / "copy", tmp_path / "cas")
    with pytest.raises(RollbackError, match="is of another time than the TPM: it expects the counter 0x01800ba0 at"):
        Cas(config)
    with Cas(dataclasses.replace(config, accept_rollback=True)) as cas:
        assert "rollback_accepted" in [entry.event for entry in cas.audit_log()]
    Cas(config).close()


def test_a_counter_that_was_made_anew_is_noticed(tmp_path: Path, start: Callable[[], SoftwareTpm]) -> None:
    """A TPM never lets a new counter stand where an old one has stood."""
    tpm = start()
    config = _config(tmp_path, tpm)
    Cas(config).close()
    Cas(config).close()
    tpm.run("tpm2_nvundefine", "-C", "o", "0x01800ba0")
    with pytest.raises(RollbackError, match="found none"):
        Cas(config)
    tpm.run("tpm2_nvdefine", "0x01800ba0", "-C", "o", "-s", "8", "-a", "nt=counter|ownerread|ownerwrite")
    tpm.run("tpm2_nvincrement", "-C", "o", "0x01800ba0")
    with pytest.raises(RollbackError, match="is of another time than the TPM"):
        Cas(config)


def test_a_start_that_was_stopped_half_way_is_no_rollback(
    tmp_path: Path, start: Callable[[], SoftwareTpm], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has been written, the counter has not moved on."""
    config = _config(tmp_path, start())
    Cas(config).close()

    def stop(_: Tpm) -> int:
        raise EnvironmentFault("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(Tpm, "increment", stop)
        with pytest.raises(EnvironmentFault, match="stopped"):
            Cas(config)
    Cas(config).close()


def test_the_configuration(tmp_path: Path) -> None:
    """Where the TPM is, which registers count, and which counter is this CAS's."""
    file = tmp_path / "cas.toml"
    file.write_text('[master_key]\ntpm = "device:/dev/tpmrm0"\npcrs = "sha256:0,7"\ncounter = "0x01800ba7"')
    expected = Tpm(tcti="device:/dev/tpmrm0", pcrs="sha256:0,7", counter="0x01800ba7")
    assert load_config(file, home=tmp_path).protection == expected
    for text, message in (
        ('tpm = "x"\npassphrase = "env:X"', "a passphrase or a tpm, not both"),
        ('tpm = "x"\npcrs = "7"', "are written sha256:0,7, found '7'"),
        ('tpm = "x"\ncounter = "7"', "is 0x and eight digits, found '7'"),
    ):
        file.write_text(f"[master_key]\n{text}")
        with pytest.raises(InputError, match=message):
            load_config(file, home=tmp_path)
