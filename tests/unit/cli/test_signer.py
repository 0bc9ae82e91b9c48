"""``scone-signer``: what it writes beside a program, what it tells of it, and what it refuses."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bannock.cli import scone, scone_signer
from bannock.errors import DeniedError, EvidenceError, InputError
from bannock.identity.debug_key import DEBUG_SIGNER
from bannock.identity.sigstruct import SigStruct
from bannock.identity.tree import MeasurementTree

_KEY: Final = rsa.generate_private_key(3, 3072)
_GENUINE: Final = Path(__file__).parents[1] / "identity" / "sigstructs" / "intel-launch-enclave.sig"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Give a program that may be changed."""
    return Path(shutil.copy("/bin/echo", tmp_path / "app"))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Give a key of one's own."""
    return _written(tmp_path / "key.pem", _KEY)


def _written(path: Path, key: rsa.RSAPrivateKey, password: bytes | None = None) -> Path:
    sealing = NoEncryption() if password is None else BestAvailableEncryption(password)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing))
    return path


def _signed(program: Path) -> tuple[SigStruct, MeasurementTree]:
    sigstruct = SigStruct.parse(Path(f"{program}.sigstruct").read_bytes())
    sigstruct.verify()
    tree = MeasurementTree.from_json(Path(f"{program}.measurement").read_bytes())
    assert tree.root == sigstruct.measurement
    return sigstruct, tree


def _done(*arguments: object) -> None:
    assert scone_signer.main([str(argument) for argument in arguments]) == 0


def test_console_script() -> None:
    """Installing the package gives the command, whose verbs are those of ``scone signer``."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"]["scone-signer"] == "bannock.cli.scone_signer:entry"
    assert all(scone.VERBS["signer", *words] == verb for words, verb in scone_signer.VERBS.items())


def test_everything_that_is_asked_for_is_signed(program: Path, key: Path) -> None:
    """Settings are measured; product id, version, mode and states of the processor stand in the SIGSTRUCT."""
    _done(
        *("sign", "--key", key, "--production", "--stack", "4M", "--minheap", "20M", "--heap", "1G", "--tcs", "16"),
        *("--mprotect", "1", "--dlopen", "2", "--fork", "1", "--xfrm", "0xe7", "--isvsvn", "3", "--isvprodid", "41"),
        *("--miscselect", "1", "--date", "2026-02-03", "--syslibs", "1", "--sconify", program),
    )
    sigstruct, tree = _signed(program)
    assert (sigstruct.product_id, sigstruct.svn, sigstruct.debug) == (41, 3, False)
    assert (sigstruct.attributes.xfrm, sigstruct.misc_select) == (0xE7, 1)
    assert sigstruct.to_bytes()[20:24].hex() == "03022620"
    assert tree.program == str(program)
    assert tree.settings == {
        "SCONE_HEAP": str(1 << 30),
        "SCONE_MIN_HEAP": str(20 << 20),
        "SCONE_STACK": str(4 << 20),
        "SCONE_TCS": "16",
        "SCONE_ALLOW_DLOPEN": "2",
        "SCONE_MPROTECT": "1",
        "SCONE_FORK": "1",
        "SCONE_EXTENSIONS_PATH": "",
    }


def test_same_date_same_bytes(program: Path, key: Path) -> None:
    """So whoever has the key can make the signature again, and compare."""
    _done("sign", "--key", key, "--date", "2026-02-03", program)
    first = Path(f"{program}.sigstruct").read_bytes()
    _done("sign", "--key", key, "--date", "2026-02-03", program)
    assert Path(f"{program}.sigstruct").read_bytes() == first


def test_environment_counts_where_it_is_asked_for(program: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an argument comes before it."""
    for name, value in {
        "SCONE_HEAP": "200M",
        "SCONE_TCS": "4",
        "SCONE_ISVSVN": "9",
        "SCONE_EXTENSIONS_PATH": "",
        "SCONE_KEY": str(key),
        "SCONE_PRODUCTION": "1",
    }.items():
        monkeypatch.setenv(name, value)
    _done("sign", program)
    sigstruct, tree = _signed(program)
    assert (sigstruct.signer, sigstruct.svn, tree.settings["SCONE_HEAP"]) == (DEBUG_SIGNER, 0, str(64 << 20))
    _done("sign", "--env", "--tcs", "5", program)
    sigstruct, tree = _signed(program)
    assert (sigstruct.debug, sigstruct.svn) == (False, 9)
    assert sigstruct.signer != DEBUG_SIGNER
    assert (tree.settings["SCONE_HEAP"], tree.settings["SCONE_TCS"]) == (str(200 << 20), "5")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--production"], "everybody has the built-in key"),
        (["--isvsvn", "65536"], "SCONE_ISVSVN is a number from 0 to 65535, found '65536'"),
        (["--isvprodid", "-1"], "SCONE_ISVPRODID is a number from 0 to 65535"),
        (["--xfrm", "4"], "at least the bits 0 and 1"),
        (["--heap", "lots"], "SCONE_HEAP is a number of bytes"),
        (["--tcs", "0"], "SCONE_TCS is a number from 1"),
        (["--date", "tomorrow"], "--date is YYYY-MM-DD"),
        (["--extensions", "fs.so"], "SCONE_EXTENSIONS_PATH names files by absolute paths"),
        (["--key", "missing"], "cannot read missing"),
    ],
)
def test_what_cannot_be_signed(
    program: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """Is refused with its name, and nothing is written."""
    assert scone_signer.main(["sign", *arguments, str(program)]) == InputError.exit_code
    assert told in capsys.readouterr().err
    assert [path.name for path in program.parent.glob("app*")] == ["app"]


def test_keys_that_do_not_do(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another exponent, a sealed key, one that others may read, and no key at all."""
    odd = tmp_path / "odd.pem"
    for make, told in (
        (lambda: _written(odd, rsa.generate_private_key(65537, 3072)), "found 3072 bits and 65537"),
        (lambda: _written(odd, _KEY, b"secret"), "is encrypted"),
        (lambda: odd.write_text("no key"), "holds no private key"),
        (lambda: odd.chmod(0o644), "open to others"),
    ):
        make()
        assert scone_signer.main(["sign", "--key", str(odd), str(program)]) == InputError.exit_code
        assert told in capsys.readouterr().err


def test_verify_names_what_changed(program: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program that is not what was signed, file by file; and another signer than is expected."""
    _done("sign", "--key", key, program)
    sigstruct, _ = _signed(program)
    _done("verify", "--mrsigner", sigstruct.signer, program)
    assert capsys.readouterr().out == f"{sigstruct.measurement}\n"
    assert scone_signer.main(["verify", "--mrsigner", "00" * 32, str(program)]) == DeniedError.exit_code
    assert f"is signed by MRSIGNER {sigstruct.signer}, expected 0000" in capsys.readouterr().err
    with program.open("ab") as file:
        file.write(b"!")
    assert scone_signer.main(["verify", str(program)]) == DeniedError.exit_code
    told = capsys.readouterr().err
    assert f"Expected {sigstruct.measurement}" in told
    assert f"{program} changed" in told


def test_verify_refuses_what_anybody_could_have_signed(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless that is allowed; and what nobody signed."""
    assert scone_signer.main(["verify", str(program)]) == InputError.exit_code
    assert "is not signed" in capsys.readouterr().err
    _done("sign", program)
    assert scone_signer.main(["verify", str(program)]) == DeniedError.exit_code
    assert "which everybody has" in capsys.readouterr().err
    _done("verify", "--allow-debug-key", program)


def test_files_beside_a_program_belong_together(program: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing, a damaged and an exchanged one are told."""
    _done("sign", "--key", key, program)
    tree = Path(f"{program}.measurement")
    sigstruct = Path(f"{program}.sigstruct")
    kept, signed = tree.read_bytes(), sigstruct.read_bytes()
    _done("sign", "--key", key, "--heap", "1G", program)
    sigstruct.write_bytes(signed)
    assert scone_signer.main(["info", str(program)]) == InputError.exit_code
    assert ".measurement is of MRENCLAVE" in capsys.readouterr().err
    tree.unlink()
    assert scone_signer.main(["info", str(program)]) == InputError.exit_code
    assert "keep .sigstruct and .measurement beside the program" in capsys.readouterr().err
    tree.write_bytes(kept)
    sigstruct.write_bytes(signed[:1027] + b"\1" + signed[1028:])
    assert scone_signer.main(["info", str(program)]) == EvidenceError.exit_code
    assert "does not hold" in capsys.readouterr().err
    sigstruct.write_bytes(signed + b"!")
    assert scone_signer.main(["info", str(program)]) == InputError.exit_code


def test_info_tells_all_of_it(program: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and for programs, and of what other tools made."""
    _done("sign", "--key", key, "--production", "--heap", "1G", "--isvprodid", "41", "--verbose", program)
    verbose = capsys.readouterr().out
    _done("info", program)
    told = capsys.readouterr().out
    assert told == verbose
    sigstruct, _ = _signed(program)
    for line in (f"MRENCLAVE: {sigstruct.measurement}", "mode: production", "isvprodid: 41", "SCONE_HEAP: 1G"):
        assert line in told.splitlines()
    _done("info", "--json", program)
    document = json.loads(capsys.readouterr().out)
    assert (document["mrsigner"], document["settings"]["SCONE_HEAP"]) == (str(sigstruct.signer), str(1 << 30))
    _done("info", _GENUINE)
    assert "isvsvn: 7" in capsys.readouterr().out
    assert scone_signer.main(["info", "/bin/echo"]) == InputError.exit_code
    assert "is not signed, and no SIGSTRUCT" in capsys.readouterr().err
