"""The entry of a dapp's image, with a program in place of the enclave: what it is given, and what it gives back."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault, InputError, NotFoundError, PeerError
from bannock.execution.dapps.host import run_dapp
from bannock.execution.dapps.single_file import fetch_file, send_file
from bannock.execution.dapps.zipped import INPUTS, OUTPUTS, OUTPUTS_FILE, VolumesZip, unzip_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bannock.execution.transfer.web import Upload

#: Stands for launcher and application: both volumes are directories of ciphertext to whoever is outside.
_PROGRAM: Final = """\
#!{python}
import os, pathlib, sys
source, target = (pathlib.Path(os.environ[f"BANNOCK_VOLUME_{{name}}"]) for name in ("in-files", "out-files"))
(target / "volume.fspf").write_bytes((source / "volume.fspf").read_bytes() + os.environ["SCONE_CONFIG_ID"].encode())
print("what the program prints")
sys.exit({code})
"""
_DESCRIPTION: Final = """\
# A comment.
name: copy
program: {program}   # which is measured
service: copy
input: in-files
output: "out-files"
session: session.yaml
"""
_SESSION: Final = ("--sessionID", "12345/copy", "--secretManagementService", "cas.example")


def _image(place: Path, code: int = 0) -> Path:
    """Make what an image has: a program, and what the image says of itself."""
    program = place / "program"
    program.write_text(_PROGRAM.format(python=sys.executable, code=code))
    program.chmod(0o755)
    description = place / "application.yaml"
    description.write_text(_DESCRIPTION.format(program=program))
    return description


def _sent(path: Path) -> None:
    stream = io.BytesIO()
    with VolumesZip(stream.write) as archive:
        for volume in (INPUTS, OUTPUTS):
            archive.outlet(volume).file("volume.fspf", 6)
            archive.content(volume[9:].encode()[:6])
    path.write_bytes(stream.getvalue())


def _task(place: Path) -> dict[str, str]:
    """Make the directories that a worker mounts, with the file of a task in one."""
    for name in ("in", "out"):
        (place / name).mkdir()
    _sent(place / "in" / "scone-upload.zip")
    return {
        "IEXEC_IN": str(place / "in"),
        "IEXEC_OUT": str(place / "out"),
        "IEXEC_INPUT_FILES_NUMBER": "1",
        "IEXEC_INPUT_FILE_NAME_1": "scone-upload.zip",
    }


def test_a_task(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The file of the task comes to the program, and the result is named; standard output stays the caller's."""
    environment = {**os.environ, **_task(tmp_path)}
    assert run_dapp(_SESSION, environment, description=_image(tmp_path)) == 0
    computed = json.loads((tmp_path / "out" / "computed.json").read_text())
    assert computed == {"deterministic-output-path": str(tmp_path / "out" / OUTPUTS_FILE)}
    unzip_volume(tmp_path / "out" / OUTPUTS_FILE, OUTPUTS, tmp_path / "back")
    assert (tmp_path / "back" / "volume.fspf").read_bytes() == b"InputF12345/copy"
    told = capfd.readouterr()
    assert told.out == ""
    assert "what the program prints" in told.err


def test_a_dataset(tmp_path: Path) -> None:
    """Inputs may be the dataset of the task."""
    environment = {**os.environ, **_task(tmp_path), "IEXEC_INPUT_FILES_NUMBER": "0"}
    with pytest.raises(InputError, match="no encrypted inputs"):
        run_dapp(_SESSION, environment, description=_image(tmp_path))
    environment["IEXEC_DATASET_FILENAME"] = "scone-upload.zip"
    assert run_dapp(_SESSION, environment, description=_image(tmp_path)) == 0


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    """A file that is not in the directory of the task is none of it."""
    environment = {**os.environ, **_task(tmp_path), "IEXEC_INPUT_FILE_NAME_1": "../in/scone-upload.zip"}
    with pytest.raises(InputError, match="no encrypted inputs"):
        run_dapp(_SESSION, environment, description=_image(tmp_path))


def test_a_program_that_fails(tmp_path: Path) -> None:
    """Its exit code is the container's, and there is no result."""
    environment = {**os.environ, **_task(tmp_path)}
    assert run_dapp(_SESSION, environment, description=_image(tmp_path, code=7)) == 7
    assert list((tmp_path / "out").iterdir()) == []


def test_what_has_to_be_said(tmp_path: Path) -> None:
    """A session and a CAS, as options or as settings; and what the image says of itself."""
    with pytest.raises(InputError, match="--sessionID"):
        run_dapp((), {}, description=_image(tmp_path))
    (tmp_path / "application.yaml").write_text("program: /bin/true\ninput: a\n")
    with pytest.raises(InputError, match="does not say what output is"):
        run_dapp(_SESSION, {}, description=tmp_path / "application.yaml")


@contextmanager
def _service(answers: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Give a service that answers each connection with the next of some bytes, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += connection.recv(65536)
                    while data.startswith(b"PUT") and b"\r\n0\r\n\r\n" not in data:
                        data += connection.recv(65536)
                    asked.append(data)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            thread.join(10)


def _answer(status: str, body: bytes, length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def test_fetching_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    """A service that loses the connection is asked for the rest; one that gives all again is taken anew."""
    answers = (
        _answer("200 OK", b"abcde", 10),
        _answer("206 Partial Content", b"fg", 5),
        _answer("200 OK", b"ABCDEFGHIJ"),
    )
    with _service(answers) as (url, asked):
        fetch_file(f"{url}/x", tmp_path / "file", pause=0)
    assert (tmp_path / "file").read_bytes() == b"ABCDEFGHIJ"
    assert [b"Range: bytes=" in request for request in asked] == [False, True, True]
    assert b"Range: bytes=7-" in asked[2]


def test_fetching_gives_up(tmp_path: Path) -> None:
    """A file that is not there is not waited for; a service that always breaks off is an error of its own."""
    with _service((_answer("404 Not Found", b""),)) as (url, _), pytest.raises(NotFoundError):
        fetch_file(f"{url}/x", tmp_path / "a", pause=0)
    with _service((_answer("200 OK", b"a", 3),) * 2) as (url, _), pytest.raises(EnvironmentFault):
        fetch_file(f"{url}/x", tmp_path / "b", attempts=2, pause=0)


def test_sending_in_pieces() -> None:
    """A body whose length nobody knows before; what comes back has to be a URL."""

    def write(target: Upload) -> None:
        for part in (b"abc", b"", b"de"):
            target.write(part)

    with _service((_answer("200 OK", b"http://files.example/1/outputs.zip\n"),)) as (url, asked):
        sent = send_file(url, "outputs.zip", write)
    assert sent == "http://files.example/1/outputs.zip"
    assert asked[0].startswith(b"PUT /outputs.zip HTTP/1.1\r\n")
    assert asked[0].endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    with _service((_answer("200 OK", b"thanks"),)) as (url, _), pytest.raises(PeerError, match="without a URL"):
        send_file(url, "outputs.zip", write)


def test_other_entries_of_a_file_are_left_alone(tmp_path: Path) -> None:
    """What is in a file beside its volumes is nobody's."""
    path = tmp_path / "sent.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{INPUTS}/volume.fspf", b"x")
        archive.writestr("computed.json", b"{}")
    unzip_volume(path, INPUTS, tmp_path / "target")
    assert [entry.name for entry in (tmp_path / "target").iterdir()] == ["volume.fspf"]
