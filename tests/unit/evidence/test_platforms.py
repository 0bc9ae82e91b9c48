"""Which platform is chosen, and what is told of those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.errors import EnvironmentFault, InputError
from bannock.evidence.modes import Mode, mode_of
from bannock.evidence.platforms import Places, choose
from bannock.evidence.quotes import SimQuote

if TYPE_CHECKING:
    from pathlib import Path


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(32))


def _no_key() -> Ed25519PrivateKey:
    raise AssertionError("a key was made for nothing")


def test_modes() -> None:
    """As SCONE's pages write them, and in small letters; nothing else."""
    assert mode_of({}) is Mode.AUTO
    assert mode_of({"SCONE_MODE": ""}) is Mode.AUTO
    for text, mode in (("HW", Mode.HW), ("hw", Mode.HW), ("SIM", Mode.SIM), ("Auto", Mode.AUTO)):
        assert mode_of({"SCONE_MODE": text}) is mode
    with pytest.raises(InputError, match="hw, sim or auto, found 'sgx'"):
        mode_of({"SCONE_MODE": "sgx"})


def test_without_hardware(tmp_path: Path) -> None:
    """It is simulation unless hardware was asked for, and where it was looked for is told in both cases."""
    places = Places(tsm=tmp_path / "none")
    chosen = choose(Mode.AUTO, None, places, _key)
    assert (chosen.attester.platform, chosen.attester.rehearses) == ("sim", None)
    assert isinstance(chosen.attester.vouched()[0], SimQuote)
    for part in (f"tdx: there is no {tmp_path / 'none'}", "sev-snp: there is no", "tpm: there is no /dev/tpmrm0"):
        assert part in chosen.reason
    with pytest.raises(EnvironmentFault, match="no hardware here that could attest") as caught:
        choose(Mode.HW, None, places, _no_key)
    assert [reason.split(":")[0] for reason in caught.value.reasons] == ["tdx", "sev-snp", "tpm"]
    assert "SCONE_MODE=sim" in (caught.value.hint or "")
    for platform in ("tdx", "sev-snp", "tpm"):
        with pytest.raises(EnvironmentFault, match=f"no {platform} here") as caught:
            choose(Mode.AUTO, platform, places, _no_key)
        assert [reason.split(":")[0] for reason in caught.value.reasons] == [platform]


def test_simulation_is_chosen_without_a_look(tmp_path: Path) -> None:
    """Where it was asked for, by either way."""
    for mode, wanted in ((Mode.SIM, None), (Mode.SIM, "sim"), (Mode.AUTO, "sim")):
        chosen = choose(mode, wanted, Places(tsm=tmp_path), _key)
        assert (chosen.attester.platform, chosen.reason) == ("sim", "it was asked for")


@pytest.mark.parametrize(("mode", "wanted"), [(Mode.HW, "sim"), (Mode.SIM, "tdx"), (Mode.AUTO, "sgx"), (Mode.HW, "x")])
def test_contradictions_are_told(mode: Mode, wanted: str) -> None:
    """Rather than settled."""
    with pytest.raises(InputError):
        choose(mode, wanted, Places(), _no_key)


def test_places_of_the_environment() -> None:
    """A TPM may be elsewhere than in this machine."""
    assert Places.of({"TPM2TOOLS_TCTI": "swtpm:port=1"}).tcti == "swtpm:port=1"
