"""What the image of a dapp starts with: take ciphertext, run the program on it, give ciphertext back.

Who starts it is not trusted, and neither is this: volumes are ciphertext to it, and the program, in whose place the
launcher is, gets its secrets from the CAS. Options are those of the public page on dapps; on iExec, ciphertext is in
the directories that a worker mounts, and ``computed.json`` says which file the result is. Standard library alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bannock import linux
from bannock.errors import BannockError, InputError, render
from bannock.execution.dapps.single_file import fetch_file, send_file, service_url
from bannock.execution.dapps.zipped import INPUTS, OUTPUTS, OUTPUTS_FILE, VolumesZip, unzip_volume
from bannock.files import read_bounded, write_atomically
from bannock.identity.layout import LAYER_ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.execution.transfer.web import Upload

__all__ = ["entry", "run_dapp"]

_DESCRIPTION: Final = Path(f"{LAYER_ROOT}/application/application.yaml")
_DESCRIPTION_BYTES_MAX: Final = 64 << 10
#: A line of that file, which has no other form where this reads it.
_LINE: Final = re.compile(r"""^(\w+):[ \t]+["']?([^"'#\s]+)["']?[ \t]*(?:#.*)?$""", re.MULTILINE)
_IN, _OUT = "IEXEC_IN", "IEXEC_OUT"
_COMPUTED: Final = "computed.json"
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def entry() -> NoReturn:
    """Be the first process of a container."""
    try:
        sys.exit(run_dapp(sys.argv[1:], os.environ))
    except BannockError as error:
        sys.stderr.write("".join(f"{line}\n" for line in render(error)))
        sys.exit(error.exit_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Application:
    """What the image says of itself."""

    program: str
    input: str
    output: str

    @classmethod
    def read(cls, path: Path) -> _Application:
        text = read_bounded(path, _DESCRIPTION_BYTES_MAX).decode("utf-8", "replace")
        found = dict(_LINE.findall(text))
        try:
            return cls(program=found["program"], input=found["input"], output=found["output"])
        except KeyError as error:
            raise InputError(f"{path} does not say what {error.args[0]} is") from None


def run_dapp(arguments: Sequence[str], environment: Mapping[str, str], *, description: Path = _DESCRIPTION) -> int:
    """Do what a command line says, and return the exit code of the program.

    Args:
        arguments: of the container.
        environment: likewise.
        description: what the image says of itself.

    Raises:
        BannockError: ciphertext cannot be had, or not be given back.
    """
    options = _parse(arguments, environment)
    application = _Application.read(description)
    with tempfile.TemporaryDirectory(prefix="dapp-") as name:
        scratch = Path(name)
        sent = _sent(options, environment, scratch)
        for volume in (INPUTS, OUTPUTS):
            unzip_volume(sent, volume, scratch / volume)
        code = _run(application, options, environment, scratch)
        if code == 0:
            _give_back(options, environment, scratch / OUTPUTS)
    return code


def _parse(arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("dapp", description="run the program of this image on encrypted volumes")
    add = parser.add_argument
    add("--sessionID", dest="session", default=environment.get("SCONE_CONFIG_ID"), metavar="SESSION/SERVICE")
    add("-s", "--secretManagementService", dest="cas", default=environment.get("SCONE_CAS_ADDR"), metavar="CAS")
    add("-u", "--url", metavar="URL", help=f"what encryptedpush has sent; else it is a file in ${_IN}")
    add("-p", "--push", metavar="SERVICE", help="a transfer service that gets the outputs")
    add("-k", "--insecure", action="store_true", help="do without the certificate of the transfer service")
    add("-v", "--verbose", action="store_true", help="tell what is done")
    options = parser.parse_args(list(arguments))
    if not options.session or not options.cas:
        raise InputError("--sessionID and --secretManagementService say what to run", hint="encryptedpush prints both")
    return options


def _sent(options: argparse.Namespace, environment: Mapping[str, str], scratch: Path) -> Path:
    """Return the file with both volumes: fetched, or one of those that a worker has fetched."""
    if options.url:
        target = scratch / "sent.zip"
        _tell(options, f"fetching {options.url}")
        fetch_file(options.url, target, verified=not options.insecure)
        return target
    directory = environment.get(_IN, "")
    count = environment.get("IEXEC_INPUT_FILES_NUMBER", "0")
    names = [environment.get(f"IEXEC_INPUT_FILE_NAME_{index}", "") for index in range(1, _number(count) + 1)]
    names.append(environment.get("IEXEC_DATASET_FILENAME", ""))
    for name in filter(None, names):
        path = Path(directory) / name
        if directory and "/" not in name and path.is_file():
            return path
    raise InputError(f"there are no encrypted inputs: neither --url, nor a file of the task in ${_IN}")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0  # noqa: PLR2004 # of files


def _run(application: _Application, options: argparse.Namespace, environment: Mapping[str, str], scratch: Path) -> int:
    """Run the program; what it prints goes to standard error, for the only word on standard output is the URL."""
    settings = {
        **environment,
        "SCONE_CONFIG_ID": options.session,
        "SCONE_CAS_ADDR": options.cas,
        f"BANNOCK_VOLUME_{application.input}": str(scratch / INPUTS),
        f"BANNOCK_VOLUME_{application.output}": str(scratch / OUTPUTS),
    }
    _tell(options, f"running {application.program} as {options.session}")
    try:
        process = subprocess.Popen([application.program], env=settings, cwd="/", stdin=subprocess.DEVNULL, stdout=2)
    except OSError as error:
        raise InputError(f"the container cannot start {application.program}: {error.strerror}") from error
    before = {number: signal.signal(number, lambda *_: process.terminate()) for number in _ENDING}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return linux.exit_code(code)


def _give_back(options: argparse.Namespace, environment: Mapping[str, str], volume: Path) -> None:
    if place := environment.get(_OUT):
        path = Path(place) / OUTPUTS_FILE
        with path.open("wb") as file, VolumesZip(file.write) as archive:
            archive.add_volume(OUTPUTS, volume)
        computed = {"deterministic-output-path": str(path)}
        write_atomically(Path(place) / _COMPUTED, json.dumps(computed).encode(), mode=0o644)
        _tell(options, f"the outputs are in {path}")
    if options.push:
        url = send_file(
            service_url(options.push),
            "outputs.zip",
            lambda sent: _zip(volume, sent),
            verified=not options.insecure,
        )
        sys.stdout.write(f"{url}\n")


def _zip(volume: Path, target: Upload) -> None:
    with VolumesZip(target.write) as archive:
        archive.add_volume(OUTPUTS, volume)


def _tell(options: argparse.Namespace, text: str) -> None:
    if options.verbose:
        sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    entry()
