"""``determine_sgx_device``: the devices of old and of today, and a machine without any."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bannock.cli.determine_sgx_device import DEVICES, main


def _plug(root: Path, name: str) -> None:
    """Make a character device at a place: a link to one that everybody has."""
    path = root / name[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_is_found(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each device is found where it is the only one, as the path that a container has to be given."""
    _plug(tmp_path, name)
    assert main([], tmp_path) == 0
    # A directory of SGX devices has the enclave's in it, which is what a container needs.
    assert capsys.readouterr() == (f"{name}\n", "")


def test_the_strongest_platform_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SGX counts more than TDX, TDX more than SEV-SNP, and these more than a TPM."""
    expected = ["/dev/sgx_enclave", "/dev/tdx_guest", "/dev/sev-guest", "/dev/tpmrm0"]
    for name in expected:
        _plug(tmp_path, name)
    for name in expected:
        main([], tmp_path)
        assert capsys.readouterr().out == f"{name}\n"
        (tmp_path / name[1:]).unlink()


def test_a_directory_of_devices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """/dev/sgx may be a directory whose devices have names that are not known here."""
    _plug(tmp_path, "/dev/sgx/virt_epc")
    main([], tmp_path)
    assert capsys.readouterr().out == "/dev/sgx\n"


def test_no_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a device nothing is printed, a warning says what follows, and scripts go on."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "isgx").write_text("no device")
    (tmp_path / "dev" / "tpm0").mkdir()
    assert main([], tmp_path) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Warning: No SGX device found")
    assert "SIM" in err


@pytest.mark.parametrize(
    ("there", "device", "mount"),
    [(["/dev/sgx_enclave"], "/dev/sgx_enclave", "--device=/dev/sgx_enclave"), ([], "", "")],
)
def test_variables_of_a_shell(
    there: list[str], device: str, mount: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell that evaluates the output has the variables that scripts use; both are empty without a device."""
    for name in there:
        _plug(tmp_path, name)
    main(["--shell"], tmp_path)
    script = capsys.readouterr().out + 'echo "<$SGXDEVICE> <$MOUNT_SGXDEVICE>"'
    shell = ["/bin/sh", "-eu", "-c", script]
    assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout == f"<{device}> <{mount}>\n"


def test_console_script() -> None:
    """Installing the package gives the command, under the name that scripts call it by."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"]["determine_sgx_device"] == "bannock.cli.determine_sgx_device:entry"


def test_help_and_mistakes() -> None:
    """The command tells how it is used, and does not take what it does not know."""
    command = [sys.executable, "-I", "-m", "bannock.cli.determine_sgx_device"]
    told = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("usage: determine_sgx_device [-h] [--shell]")
    assert subprocess.run([*command, "--devices"], capture_output=True, check=False).returncode == 2
