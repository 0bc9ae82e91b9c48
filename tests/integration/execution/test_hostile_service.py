"""A transfer service that is the enemy: whatever it does to what it carries is found out, and said by name.

The enemy speaks plain HTTP as transfer.sh does, and keeps what it gets in memory, so an attack is a line. Attacks on
what goes to the host are found by the host's carrier, and were it bribed, by the enclave that opens the volume;
attacks on what comes back, by the client.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest

from bannock.errors import BannockError, EnvironmentFault, IntegrityError, NotFoundError, PeerError, RollbackError
from bannock.execution.transfer.archive import Limits
from bannock.execution.transfer.backends import backend_for
from bannock.execution.transfer.host import pull, push
from bannock.execution.transfer.volumes import receive_volume, send_volume
from bannock.shield.volume import Volume
from bannock.values import FspfKey
from tests.integration.execution.backends import HASTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bannock.execution.transfer.interface import Parcel
    from bannock.values import FspfTag

_RUN = "run-1"
_MIB = 1 << 20
_KEY = FspfKey(bytes(range(32)))


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the enemy."""

    enemy: _Enemy
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.enemy.failing(self.path):
            self.answer(503, b"")
            return
        self.enemy.files[self.path] = data
        url = self.enemy.tell or f"{self.enemy.url}{self.path}"
        self.answer(200, url.encode(), {"X-Url-Delete": f"{self.enemy.url}{self.path}/token"})

    def do_GET(self) -> None:
        self.enemy.asked.append(self.path)
        data = self.enemy.files.get(self.path)
        if self.enemy.failing(self.path) or data is None:
            self.answer(404 if data is None else 503, b"")
        elif self.path in self.enemy.endless:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(bytes(_MIB))
            except OSError:
                return
        else:
            self.answer(200, data, cut=self.enemy.cut.get(self.path))

    def do_DELETE(self) -> None:
        self.enemy.files.pop(self.path.removesuffix("/token"), None)
        self.answer(200, b"")

    def answer(
        self, status: int, data: bytes, headers: Mapping[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data[:cut])
        self.close_connection = cut is not None

    def log_message(self, *_: object) -> None:
        pass


class _Enemy:
    """A service that does as it likes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: dict[str, list[int]] = {}
        self.tell = ""
        self.endless: set[str] = set()
        self.cut: dict[str, int] = {}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"enemy": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def failing(self, path: str) -> bool:
        """Whether a file is not to be had now."""
        left = self.status.get(path, [])
        return bool(left) and bool(left.pop())

    def index(self, path: str) -> dict[str, Any]:
        """Return an index that was kept."""
        found: dict[str, Any] = json.loads(self.files[path])
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def enemy() -> Iterator[_Enemy]:
    """A service that has not done anything yet."""
    with _Enemy() as running:
        yield running


def _send(enemy: _Enemy, tmp_path: Path, run: str = _RUN, key: FspfKey = _KEY) -> tuple[FspfTag, Parcel]:
    """Send inputs of three parts."""
    source = tmp_path / f"source of {run}"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(40 * _MIB))
    backend = backend_for(enemy.url, environment={}, patience=HASTY)
    with backend.sender(run, "input") as sender:
        return send_volume(source, key, sender, scratch=tmp_path / "scratch")


def _push(enemy: _Enemy, tmp_path: Path, run: str = _RUN, content: bytes = b"result") -> tuple[FspfTag, Parcel]:
    """Bring outputs of two parts, as a host does."""
    volume = tmp_path / f"volume of {run} {content[:8].hex()}"
    with Volume.create(volume, _KEY) as made:
        for name in (b"a", b"b"):
            ino = made.names.make(made.root, name, stat.S_IFREG | 0o644)
            made.inodes.write(ino, 0, content * (10 * _MIB // len(content)))
        tag = made.commit()
    backend = backend_for(enemy.url, environment={}, patience=HASTY)
    return tag, push(volume, backend.grant(run, "output"), patience=HASTY)


def _receive(enemy: _Enemy, parcel: Parcel, tag: FspfTag, target: Path, key: FspfKey = _KEY) -> None:
    receive_volume(backend_for(enemy.url, environment={}, patience=HASTY), _RUN, parcel, key, tag, target)


def _flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


_ON_THE_WAY: dict[str, Callable[[_Enemy, str], None]] = {
    "changed": lambda enemy, path: enemy.files.update({path: _flip(enemy.files[path], 100_000)}),
    "cut": lambda enemy, path: enemy.files.update({path: enemy.files[path][:-1]}),
    "emptied": lambda enemy, path: enemy.files.update({path: b""}),
    "repeated": lambda enemy, path: enemy.files.update({path: enemy.files[path.replace("000001", "000000")]}),
}


@pytest.mark.parametrize("attack", _ON_THE_WAY)
def test_part_of_the_input_is_not_what_was_sent(enemy: _Enemy, tmp_path: Path, attack: str) -> None:
    """The carrier on the host names part and service; the volume is never started with."""
    _, parcel = _send(enemy, tmp_path)
    _ON_THE_WAY[attack](enemy, f"/{_RUN}-input-000001")
    with pytest.raises(IntegrityError, match=rf"part 2 of 3 of the volume is not what was sent.*{enemy.url}"):
        pull(parcel, tmp_path / "host", patience=HASTY)


def test_parts_of_the_input_are_exchanged(enemy: _Enemy, tmp_path: Path) -> None:
    """Two parts that are both authentic, in each other's place."""
    _, parcel = _send(enemy, tmp_path)
    first, second = f"/{_RUN}-input-000000", f"/{_RUN}-input-000001"
    enemy.files[first], enemy.files[second] = enemy.files[second], enemy.files[first]
    with pytest.raises(IntegrityError, match="part 1 of 3 of the volume is not what was sent"):
        pull(parcel, tmp_path / "host", patience=HASTY)


def test_another_runs_input_is_given(enemy: _Enemy, tmp_path: Path) -> None:
    """A whole other volume, index and parts, is not the one that was sent."""
    _, parcel = _send(enemy, tmp_path)
    _send(enemy, tmp_path, "run-2")
    for path in [path for path in enemy.files if "run-1" in path]:
        enemy.files[path] = enemy.files[path.replace("run-1", "run-2")]
    with pytest.raises(IntegrityError, match="the index of the volume is not what was sent"):
        pull(parcel, tmp_path / "host", patience=HASTY)


@pytest.mark.parametrize("name", ["index", "000001"])
def test_input_is_withheld(enemy: _Enemy, tmp_path: Path, name: str) -> None:
    """What is not given is told as that, with what to do."""
    _, parcel = _send(enemy, tmp_path)
    del enemy.files[f"/{_RUN}-input-{name}"]
    with pytest.raises(NotFoundError, match=f"{enemy.url} does not have the file") as caught:
        pull(parcel, tmp_path / "host", patience=HASTY)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["index", "000001"])
def test_body_of_the_input_does_not_end(enemy: _Enemy, tmp_path: Path, name: str) -> None:
    """No more is read than there can be."""
    _, parcel = _send(enemy, tmp_path)
    enemy.endless.add(f"/{_RUN}-input-{name}")
    with pytest.raises(IntegrityError, match=r"is not what was sent.* more than the \d+ bytes that were sent"):
        pull(parcel, tmp_path / "host", patience=HASTY)


def test_connection_breaks_off_for_ever(enemy: _Enemy, tmp_path: Path) -> None:
    """An answer that ends before its end is asked for again, and not taken for whole."""
    _, parcel = _send(enemy, tmp_path)
    path = f"/{_RUN}-input-000000"
    enemy.cut[path] = 10
    with pytest.raises(EnvironmentFault, match="broke off"):
        pull(parcel, tmp_path / "host", patience=HASTY)
    assert enemy.asked.count(path) == HASTY.attempts


def test_service_that_fails_now_and_then_is_borne(enemy: _Enemy, tmp_path: Path) -> None:
    """What fails for now is done again, part by part, in both directions."""
    for number in range(3):
        enemy.status[f"/{_RUN}-input-{number:06d}"] = [0, 0, 503, 503] if number else [0, 503]
    tag, parcel = _send(enemy, tmp_path)
    for path in list(enemy.files):
        enemy.status[path] = [503, 503]
    pull(parcel, tmp_path / "host", patience=HASTY)
    with Volume.open(tmp_path / "host", _KEY, tag, writable=False) as volume:
        assert [entry.name for entry in volume.names.entries(volume.root)] == [b"large"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://elsewhere.example/x", "file:///etc/passwd", "no"])
def test_client_is_not_sent_elsewhere(enemy: _Enemy, tmp_path: Path, url: str) -> None:
    """A service that names another place for what it was given is refused."""
    enemy.tell = url
    with pytest.raises(PeerError, match=r"points to another one|without a URL"):
        _send(enemy, tmp_path)


def test_client_is_not_sent_elsewhere_by_a_host(enemy: _Enemy, tmp_path: Path) -> None:
    """An index of a host, whose hash is right, names places that are not the service's."""
    tag, parcel = _push(enemy, tmp_path)
    index = enemy.index(f"/{_RUN}-output-index")
    index["parts"][0]["at"] = "http://169.254.169.254/latest/meta-data"
    with pytest.raises(PeerError, match="points to another one"):
        _receive(enemy, _forged(enemy, parcel, index), tag, tmp_path / "target")


def _forged(enemy: _Enemy, parcel: Parcel, index: Any) -> Parcel:
    """Put another index in place, of which the host says that it is the right one."""
    data = json.dumps(index).encode()
    enemy.files[f"/{_RUN}-output-index"] = data
    return {**parcel, "index": {**parcel["index"], "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}


@pytest.mark.parametrize("attack", _ON_THE_WAY)
def test_part_of_the_output_is_not_what_was_sent(enemy: _Enemy, tmp_path: Path, attack: str) -> None:
    """The client names part and service, and nothing is in the target."""
    tag, parcel = _push(enemy, tmp_path)
    _ON_THE_WAY[attack](enemy, f"/{_RUN}-output-000001")
    with pytest.raises(IntegrityError, match=rf"part 2 of 2 of the volume is not what was sent.*{enemy.url}"):
        _receive(enemy, parcel, tag, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_host_and_service_conspire_to_change_a_byte(enemy: _Enemy, tmp_path: Path) -> None:
    """With an index that fits, what is left is what the CAS knows: the error names file and bytes."""
    tag, parcel = _push(enemy, tmp_path)
    path = f"/{_RUN}-output-000001"
    enemy.files[path] = _flip(enemy.files[path], 3 * _MIB)
    index = enemy.index(f"/{_RUN}-output-index")
    index["parts"][1]["sha256"] = hashlib.sha256(enemy.files[path]).hexdigest()
    with pytest.raises(IntegrityError, match=r"the file 'b' of the volume is not what was written: bytes \d+ to"):
        _receive(enemy, _forged(enemy, parcel, index), tag, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_host_and_service_conspire_to_go_back(enemy: _Enemy, tmp_path: Path) -> None:
    """An older output of the same run, whole and authentic, is refused as that."""
    volume = tmp_path / "volume"
    backend = backend_for(enemy.url, environment={}, patience=HASTY)
    with Volume.create(volume, _KEY) as made:
        made.names.make(made.root, b"first", stat.S_IFREG | 0o644)
        made.commit()
        older = push(volume, backend.grant(_RUN, "older"), patience=HASTY)
        for name in (b"second", b"third"):
            made.names.make(made.root, name, stat.S_IFREG | 0o644)
            tag = made.commit()
    with pytest.raises(RollbackError):
        _receive(enemy, older, tag, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_host_and_service_conspire_to_give_another_runs_output(enemy: _Enemy, tmp_path: Path) -> None:
    """Another run's output is sealed under another key."""
    tag, _ = _push(enemy, tmp_path)
    _, other = _push(enemy, tmp_path, "run-2", b"another's result")
    with pytest.raises(IntegrityError):
        _receive(enemy, other, tag, tmp_path / "target")
    with pytest.raises(IntegrityError, match="not authentic"):
        _receive(enemy, other, tag, tmp_path / "target", FspfKey(os.urandom(32)))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda parts: parts[:1], "cut"),
        (lambda parts: [parts[0], parts[0]], "is not what was written|not in the form|cut|belong to nothing"),
        (lambda parts: parts[::-1], "not begin with the protection file|not in the form"),
        (lambda parts: [*parts, parts[1]], "does not end where it says"),
        (lambda _: [], "cut"),
        (lambda parts: [{**parts[0], "size": 1 << 40}], "say where the parts"),
        (lambda parts: [{**parts[0], "size": True}], "say where the parts"),
        (lambda parts: [{**parts[0], "at": None}], "say where the parts"),
        (lambda _: [[]], "say where the parts"),
        (lambda _: {}, "say where the parts"),
    ],
)
def test_host_invents_an_index(
    enemy: _Enemy, tmp_path: Path, change: Callable[[list[dict[str, Any]]], Any], error: str
) -> None:
    """Parts that are left out, repeated, turned round or made up: each is refused, and nothing is in the target."""
    tag, parcel = _push(enemy, tmp_path)
    index = enemy.index(f"/{_RUN}-output-index")
    forged = _forged(enemy, parcel, {**index, "parts": change(index["parts"])})
    with pytest.raises((IntegrityError, PeerError), match=error):
        _receive(enemy, forged, tag, tmp_path / "target")
    assert [path for path in (tmp_path / "target").rglob("*") if path.is_file() and path.suffix != ".fspf"] == []


def test_client_deletes_nothing_for_a_host(enemy: _Enemy, tmp_path: Path) -> None:
    """A host that names another service to delete at is refused."""
    _, parcel = _push(enemy, tmp_path)
    index = enemy.index(f"/{_RUN}-output-index")
    index["parts"][0]["deletion"] = "http://127.0.0.1:1/precious"
    backend = backend_for(enemy.url, environment={}, patience=HASTY)
    with pytest.raises(PeerError, match="points to another one"):
        backend.forget(_RUN, _forged(enemy, parcel, index))


def test_service_fills_no_disk(enemy: _Enemy, tmp_path: Path) -> None:
    """What comes is bounded by what may come."""
    _, parcel = _send(enemy, tmp_path)
    with pytest.raises(IntegrityError, match="more than"):
        pull(parcel, tmp_path / "host", patience=HASTY, limits=Limits(bytes=_MIB))


def test_messages_have_no_capabilities(enemy: _Enemy, tmp_path: Path) -> None:
    """An error can be shown to anybody: it has no URL by which a file is fetched or deleted."""
    _, parcel = _send(enemy, tmp_path)
    enemy.files.clear()
    with pytest.raises(BannockError) as caught:
        pull(parcel, tmp_path / "host", patience=HASTY)
    assert f"{_RUN}-input" not in f"{caught.value!r} {caught.value} {caught.value.hint} {caught.value.reasons}"
