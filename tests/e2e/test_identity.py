"""Signed programs, file-system images and the banner, with services as their operators start them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bannock.cli import scone, scone_signer
from bannock.errors import DeniedError, InputError, IntegrityError
from bannock.identity.debug_key import DEBUG_SIGNER
from bannock.identity.sigstruct import SigStruct
from bannock.net.tls import Identity

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.e2e.site import Site

pytestmark = pytest.mark.root

_OWNER: Final = Identity.generate("owner")
_SESSION: Final = """
name: demo
version: "0.3.10"
services:
  - name: app
    {attestation}
    command: {command}
    environment: {{API_USER: myself}}
    {more}
{tail}
security: {{attestation: {{tolerate: [{tolerate}]}}}}
"""


def _post(
    site: Site,
    attestation: str,
    *,
    command: str = "[/bin/echo, ran]",
    tolerate: str = "simulation",
    more: str = "",
    tail: str = "",
    predecessor: str = "",
) -> str:
    text = _SESSION.format(attestation=attestation, command=command, tolerate=tolerate, more=more, tail=tail)
    return site.post(_OWNER, text + (f"predecessor: {predecessor}\n" if predecessor else ""))


@pytest.fixture
def program(site: Site) -> Path:
    """Give a program of the operator's."""
    return Path(shutil.copy("/bin/echo", site.home / "app"))


def _sign(program: Path, *arguments: str) -> SigStruct:
    assert scone_signer.main(["sign", *arguments, str(program)]) == 0
    return SigStruct.parse(Path(f"{program}.sigstruct").read_bytes())


def _key(site: Site) -> str:
    path = site.home / "key.pem"
    path.touch(mode=0o600)
    key = rsa.generate_private_key(3, 3072)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


def test_a_session_that_trusts_a_signer(site: Site, program: Path) -> None:
    """Starts what that signer signed, with the settings that it was signed with, and nothing else."""
    key = _key(site)
    signed = _sign(program, "--key", key, "--production", "--heap", "1G", "--isvprodid", "41", "--isvsvn", "3")
    signer = f"{{mrsigner: {signed.signer}, isvprodid: 41, isvsvn: 3}}"
    first = _post(site, f"attestation: [{{signer: {signer}}}]", command=f"[{program}, ran]")
    name = str(program)
    assert site.output("demo/app", program=name) == "ran\n"
    assert site.run("x/y", program=name, SCONE_HASH="1").stdout == f"{signed.measurement}\n"
    # What the host sets comes before what was signed, and is then another enclave than was signed.
    done = site.run("demo/app", program=name, SCONE_HEAP="2G")
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    assert f"{program} is signed for another enclave than it is" in done.stderr
    assert f"Expected {signed.measurement}" in done.stderr
    assert "SCONE_HEAP 2G, expected 1G" in done.stderr
    # An older version of the same signer, and one of another product.
    for arguments, why in (
        (("--isvprodid", "41", "--isvsvn", "2"), "2"),
        (("--isvprodid", "40", "--isvsvn", "3"), "40"),
    ):
        _sign(program, "--key", key, "--production", *arguments)
        done = site.run("demo/app", program=name)
        assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
        assert f"{why})" in done.stderr
    # Anybody can sign with the key that everybody has.
    debug = _sign(program, "--isvprodid", "41", "--isvsvn", "3")
    done = site.run("demo/app", program=name)
    assert f"(MRSIGNER, {DEBUG_SIGNER}) - Expected {signed.signer}" in done.stderr
    # And make somebody else's signature stand on it: it is for another program.
    Path(f"{program}.sigstruct").write_bytes(signed.to_bytes())
    done = site.run("demo/app", program=name)
    assert (done.returncode, done.stdout) == (InputError.exit_code, "")
    assert debug.measurement != signed.measurement
    assert first


def test_the_built_in_key_makes_debug_enclaves(site: Site, program: Path) -> None:
    """So a session has to tolerate them; with it, settings may change after signing."""
    _sign(program, "--heap", "1G")
    name = str(program)
    attestation = f"attestation: [{{signer: {{mrsigner: {DEBUG_SIGNER}, isvprodid: 0}}}}]"
    first = _post(site, attestation, command=f"[{program}, ran]")
    done = site.run("demo/app", program=name)
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    assert "debug" in done.stderr
    _post(site, attestation, command=f"[{program}, ran]", tolerate="simulation, debug-mode", predecessor=first)
    assert site.output("demo/app", program=name) == "ran\n"
    assert site.output("demo/app", program=name, SCONE_HEAP="2G") == "ran\n"


def test_an_image_that_was_signed_with_its_program(site: Site) -> None:
    """Is the root where the environment does not name another one; a changed one is not what was signed."""
    program = Path(shutil.copy("/bin/cat", site.home / "reader"))
    (site.home / "root").mkdir()
    (site.home / "root" / "text").write_text("of the image\n")
    image = site.home / "fs.so"
    assert scone.main(["binary-fs", str(site.home / "root"), str(image)]) == 0
    signed = _sign(program, "--key", _key(site), "--production", "--extensions", str(image))
    _post(site, f"mrenclaves: [{signed.measurement}]", command=f"[{program}, /text]")
    assert site.output("demo/app", program=str(program)) == "of the image\n"
    (site.home / "root" / "text").write_text("of the host\n")
    assert scone.main(["binary-fs", str(site.home / "root"), str(image)]) == 0
    done = site.run("demo/app", program=str(program))
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    assert f"/text changed (in {image})" in done.stderr


def test_version_prints_the_banner(site: Site) -> None:
    """On standard output before the application's, in the form that scripts take the hash from."""
    hashed = site.run("x/y", SCONE_HASH="1", SCONE_VERSION="1", SCONE_HEAP="760M")
    measured = hashed.stdout.strip()
    assert hashed.stdout == f"{measured}\n"
    _post(site, f"mrenclaves: [{measured}]", command="[/bin/sh, -c, 'echo ran']")
    lines = site.output("demo/app", SCONE_VERSION="1", SCONE_HEAP="760M", SCONE_LOG="ERROR").splitlines()
    assert lines == [
        "export SCONE_TCS=8",
        "export SCONE_LOG=ERROR",
        "export SCONE_HEAP=796917760",
        "export SCONE_MIN_HEAP=8388608",
        "export SCONE_STACK=2097152",
        "export SCONE_MODE=sim",
        "export SCONE_ALLOW_DLOPEN=no",
        "export SCONE_MPROTECT=no",
        "export SCONE_FORK=no",
        lines[9],
        f"Enclave hash: {measured}",
        "Application runs in simulation mode",
        "ran",
    ]
    assert lines[9].startswith("Bannock version: ")
    # A refused enclave says what it is, too.
    done = site.run("demo/app", SCONE_VERSION="1")
    assert done.returncode == DeniedError.exit_code
    assert done.stdout.splitlines()[-2].split()[2] != measured


def _only_what_starts_python(directory: str, names: list[str]) -> list[str]:
    here = Path(directory)
    wanted = ("encodings", "importlib", "json", "collections", "re", "urllib", "lib-dynload")
    return [name for name in names if (here / name).is_dir() and name not in wanted]


@pytest.fixture
def python(site: Site) -> tuple[str, Callable[[], str]]:
    """Give an interpreter, and a maker of an image with its library and a program, which returns MRENCLAVE."""
    interpreter = os.path.realpath(sys.executable)
    library = Path(os.__file__).parent
    root = site.home / "root"
    target = root / str(library).lstrip("/")
    shutil.copytree(library, target, ignore=_only_what_starts_python, symlinks=False)
    (root / "python").mkdir()
    (root / "python" / "print_env.py").write_text(
        "import os, sys, json, pathlib\n"
        "print('of the image', os.environ['API_USER'])\n"
        "print(sorted(os.listdir('/')))\n"
        "print(pathlib.Path('/etc/hosts').exists(), pathlib.Path('/etc/passwd').exists())\n"
        "pathlib.Path('/python/state').write_text('x')\n"
        "with open('/data/count', 'a') as file: file.write('x')\n"
        "print(pathlib.Path('/data/count').read_text())\n"
    )
    image = site.home / "libbinary-fs.so"

    def make() -> str:
        assert scone.main(["binary-fs", str(root), str(image), "--host-path", "/etc/hosts"]) == 0
        done = site.run("x/y", program=interpreter, SCONE_HASH="1", SCONE_EXTENSIONS_PATH=str(image))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return interpreter, make


def _post_python(site: Site, measured: str, interpreter: str, predecessor: str = "") -> str:
    return _post(
        site,
        f"mrenclaves: [{measured}]",
        command=f"[{interpreter}, -S, -B, /python/print_env.py]",
        more="image_name: image\n    pwd: /",
        tail="images: [{name: image, volumes: [{name: data, path: /data}]}]\nvolumes: [{name: data}]",
        predecessor=predecessor,
    )


@pytest.mark.parametrize("mount", [pytest.param("fuse", marks=pytest.mark.fuse), "memory"])
def test_a_python_program_in_an_image(site: Site, python: tuple[str, Callable[[], str]], mount: str) -> None:
    """It runs from the image alone, with volumes; the host's files are not there but for those that are named."""
    interpreter, make = python
    measured = make()
    image = site.home / "libbinary-fs.so"
    _post_python(site, measured, interpreter)
    options = ("--mount", mount, "--volume", f"data={site.home / 'data'}")

    def run() -> subprocess.CompletedProcess[str]:
        return site.run("demo/app", program=interpreter, options=options, SCONE_EXTENSIONS_PATH=str(image))

    for count in (1, 2):
        done = run()
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "of the image myself"
        assert "'python'" in lines[1]
        assert "'home'" not in lines[1]
        assert lines[2:] == ["True False", "x" * count]
    # The host changes its copy of the program: that is not what runs.
    (site.home / "root" / "python" / "print_env.py").write_text("print('of the host')\n")
    assert run().stdout.startswith("of the image")
    # It makes an image of that: another enclave, and the refusal says what differs.
    assert make() != measured
    done = run()
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    assert f"Expected {measured}" in done.stderr


def test_an_image_that_is_not_what_its_list_says(site: Site, python: tuple[str, Callable[[], str]]) -> None:
    """The list is attested, and what is behind it is compared before the application starts."""
    interpreter, make = python
    measured = make()
    _post_python(site, measured, interpreter)
    image = site.home / "libbinary-fs.so"
    data = image.read_bytes()
    image.write_bytes(data.replace(b"of the image", b"of the host!"))
    options = ("--mount", "memory", "--volume", f"data={site.home / 'data'}")
    done = site.run("demo/app", program=interpreter, options=options, SCONE_EXTENSIONS_PATH=str(image))
    assert (done.returncode, done.stdout) == (IntegrityError.exit_code, "")
    assert f"/python/print_env.py in {image} is not what was measured" in done.stderr
