"""Every way that volumes go, from a client to a host and back: one suite for all."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bannock.errors import DeniedError, EnvironmentFault, InputError, IntegrityError, NotFoundError, PeerError
from bannock.execution.container_job import PLACE
from bannock.execution.transfer.backends import backend_for
from bannock.execution.transfer.host import pull, push
from bannock.execution.transfer.s3 import S3Account
from bannock.execution.transfer.volumes import discard_incoming, receive_volume, send_volume
from bannock.execution.transfer.web import request
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import Volume
from bannock.values import FspfKey, FspfTag
from tests.integration.execution.backends import HASTY, FakePlace, S3Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.execution.transfer.interface import Backend, Parcel
    from bannock.shield.unpack import Extracted

_RUN = "copy-demo-0123"
_LARGE = (40 << 20) + 12_345


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A backend, and what is behind it."""

    backend: Backend
    kept: Path
    host: Path

    def send(self, source: Path | None, key: FspfKey, scratch: Path) -> tuple[FspfTag, Parcel]:
        with self.backend.sender(_RUN, "input") as sender:
            return send_volume(source, key, sender, scratch=scratch)

    def bring(self, parcel: Parcel) -> Path:
        """Have the host fetch a volume, if it is not there."""
        directory = self.host / "input"
        if not self.backend.places:
            pull(parcel, directory, patience=HASTY)
        return directory

    def push(self, volume: Path) -> Parcel:
        grant = self.backend.grant(_RUN, "output")
        if self.backend.places:
            shutil.copytree(volume, self.host / "output")
            return grant
        return push(volume, grant, patience=HASTY)

    def receive(self, parcel: Parcel, key: FspfKey, tag: FspfTag, target: Path) -> Extracted:
        return receive_volume(self.backend, _RUN, parcel, key, tag, target)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server for all tests; each has a bucket of its own."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["transfer.sh", "directory", "s3", "ssh"])
def way(request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server) -> Iterator[_Way]:
    """Each way in turn."""
    kept, host = tmp_path / "kept", tmp_path / "host"
    kept.mkdir(mode=0o700)
    host.mkdir()
    match request.param:
        case "s3":
            bucket = s3.bucket(f"bucket-{os.urandom(4).hex()}")
            url = f"s3://{bucket.name}/some/prefix"
            backend = backend_for(url, environment=s3.environment(), patience=HASTY)
            yield _Way(backend=backend, kept=bucket, host=host)
        case "transfer.sh":
            with serving(kept) as url:
                yield _Way(backend=backend_for(url, environment={}, patience=HASTY), kept=kept, host=host)
        case "directory":
            yield _Way(backend=backend_for(f"dir:{kept}", environment={}, patience=HASTY), kept=kept, host=host)
        case _:
            backend = backend_for("ssh", environment={}, place=FakePlace(tmp_path / "host-root"))
            inside = tmp_path / "host-root" / str(PLACE).strip("/")
            inside.mkdir(parents=True)
            yield _Way(backend=backend, kept=kept, host=inside)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Inputs with a file of several parts."""
    root = tmp_path / "source"
    (root / "below").mkdir(parents=True)
    (root / "large").write_bytes(os.urandom(_LARGE))
    (root / "below" / "naïve 🥐").write_bytes(b"small")
    (root / "empty").touch()
    (root / "link").symlink_to("large")
    return root


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _volume(root: Path, key: FspfKey) -> FspfTag:
    """Make what an application leaves."""
    with Volume.create(root, key) as volume:
        below = volume.names.make(volume.root, b"results", stat.S_IFDIR | 0o755)
        for name in (b"0001.png", b"0002.png"):
            ino = volume.names.make(below, name, stat.S_IFREG | 0o644)
            volume.inodes.write(ino, 0, name * 3_000_000)
        return volume.commit()


def _key() -> FspfKey:
    return FspfKey(os.urandom(32))


def test_volume_goes_to_the_host(way: _Way, source: Path, tmp_path: Path) -> None:
    """What a client sends is, on the host, a volume with all of it."""
    key = _key()
    tag, parcel = way.send(source, key, tmp_path / "scratch")
    extract_volume(way.bring(parcel), key, tag, tmp_path / "target")
    assert _files(tmp_path / "target") == _files(source)
    assert (tmp_path / "target" / "link").readlink() == (source / "link").readlink()


def test_empty_volume_goes_to_the_host(way: _Way, tmp_path: Path) -> None:
    """An output volume begins empty, and is written to on the host."""
    key = _key()
    tag, parcel = way.send(None, key, tmp_path / "scratch")
    with Volume.open(way.bring(parcel), key, tag) as volume:
        volume.names.make(volume.root, b"new", stat.S_IFREG | 0o644)
        volume.commit()


def test_volume_comes_from_the_host(way: _Way, tmp_path: Path) -> None:
    """What the host brings is opened while it comes, and nothing else is in the target afterwards."""
    key = _key()
    tag = _volume(tmp_path / "volume", key)
    extracted = way.receive(way.push(tmp_path / "volume"), key, tag, tmp_path / "target")
    assert sorted(_files(tmp_path / "target")) == ["results/0001.png", "results/0002.png"]
    assert (tmp_path / "target/results/0001.png").read_bytes() == b"0001.png" * 3_000_000
    assert extracted.bytes == 2 * 24_000_000
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["results"]


def test_nothing_but_ciphertext_is_kept(way: _Way, tmp_path: Path) -> None:
    """Neither names nor contents of inputs are seen by whoever carries them, nor the key."""
    source, key = tmp_path / "source", _key()
    source.mkdir()
    (source / "patients.csv").write_bytes(b"a canary that sings" * 1000)
    _, parcel = way.send(source, key, tmp_path / "scratch")
    seen = repr(parcel).encode()
    for root in (way.kept, way.bring(parcel)):
        seen += b"".join(
            str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in root.rglob("*")
        )
    assert not any(word in seen for word in (b"patients", b"canary", key.reveal(), key.reveal_hex().encode()))


def test_forgotten_volumes_are_gone(way: _Way, source: Path, tmp_path: Path) -> None:
    """A client that forgets what it sent, and what came, leaves nothing with the service; twice does no harm."""
    _, sent = way.send(source, _key(), tmp_path / "scratch")
    _volume(tmp_path / "volume", _key())
    pushed = way.push(tmp_path / "volume")
    for _ in range(2):
        way.backend.forget(_RUN, sent)
        way.backend.forget(_RUN, pushed)
    assert [path for path in way.kept.rglob("*") if path.is_file()] == []


def test_unfinished_volume_leaves_nothing(way: _Way, source: Path, tmp_path: Path) -> None:
    """A sender that is broken off takes back what it has sent already."""

    def send() -> None:
        with way.backend.sender(_RUN, "input") as sender:
            sender.write(bytes(50 << 20))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send()
    way.backend.sweep(_RUN)
    assert [path for path in way.kept.rglob("*") if path.is_file()] == []
    key = _key()
    tag, parcel = way.send(source, key, tmp_path / "scratch")
    extract_volume(way.bring(parcel), key, tag, tmp_path / "target")
    assert _files(tmp_path / "target") == _files(source)


def test_broken_off_download_goes_on(way: _Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had come is not lost, and the target gets nothing before all is there."""
    key = _key()
    tag = _volume(tmp_path / "volume", key)
    parcel = way.push(tmp_path / "volume")
    calls = 0

    def stop(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 40:
            raise KeyboardInterrupt

    monkeypatch.setattr("bannock.execution.transfer.volumes._BYTES_PER_NOTE", 4 << 20)
    target = tmp_path / "target"
    with pytest.raises(KeyboardInterrupt):
        receive_volume(way.backend, _RUN, parcel, key, tag, target, observer=stop)
    (staging,) = target.iterdir()
    assert staging.stat().st_mode & 0o777 == 0o700
    came: list[int] = []
    receive_volume(way.backend, _RUN, parcel, key, tag, target, observer=came.append)
    assert (target / "results/0002.png").read_bytes() == b"0002.png" * 3_000_000
    assert [path.name for path in target.iterdir()] == ["results"]


def test_discarded_download_is_gone(way: _Way, tmp_path: Path) -> None:
    """Who does not want to go on has nothing left of it."""
    key = _key()
    tag = _volume(tmp_path / "volume", key)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    parcel = way.push(tmp_path / "volume")
    with pytest.raises(KeyboardInterrupt):
        receive_volume(way.backend, _RUN, parcel, key, tag, tmp_path / "target", observer=stop)
    discard_incoming(tmp_path / "target", tag)
    assert list((tmp_path / "target").iterdir()) == []


def test_wrong_state_is_refused(way: _Way, tmp_path: Path) -> None:
    """An older output than the CAS knows is refused, and leaves nothing."""
    key = _key()
    _volume(tmp_path / "volume", key)
    other = _volume(tmp_path / "other", key)
    parcel = way.push(tmp_path / "volume")
    with pytest.raises(IntegrityError):
        way.receive(parcel, key, other, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_files_in_the_target_stay_or_are_replaced(way: _Way, tmp_path: Path) -> None:
    """Outputs replace files of their names; what else is there is not touched, and links are not followed."""
    key = _key()
    tag = _volume(tmp_path / "volume", key)
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    (target / "results").mkdir(parents=True)
    elsewhere.write_bytes(b"mine")
    (target / "results" / "0001.png").symlink_to(elsewhere)
    (target / "mine").write_bytes(b"mine")
    way.receive(way.push(tmp_path / "volume"), key, tag, target)
    assert (target / "mine").read_bytes() == elsewhere.read_bytes() == b"mine"
    assert not (target / "results" / "0001.png").is_symlink()


def test_host_that_invents_a_parcel_is_refused(way: _Way, tmp_path: Path) -> None:
    """Whatever a host says of where its output is, it is refused as its word, and not a failure of ours."""
    index = {"at": "../../../etc/passwd", "size": 10, "sha256": "0" * 64}
    elsewhere = {"at": "http://127.0.0.1:1/x", "size": 10, "sha256": "0" * 64}
    parcels: list[Parcel] = [
        {},
        {"kind": "placed", "path": "/etc"},
        {"index": 7},
        {"index": index},
        {"index": elsewhere},
        {"index": {**index, "size": -1}},
        {"index": {**index, "size": 1 << 60}},
        {"index": {**index, "sha256": "ü" * 64}},
        {"index": {**index, "at": "x" * 100_000}},
    ]
    for parcel in parcels:
        with pytest.raises((PeerError, NotFoundError)):
            way.receive(parcel, _key(), FspfTag(bytes(16)), tmp_path / "target")


@pytest.mark.parametrize(
    "transfer",
    ["", "ftp://host", "http://", "s3://", "s3://UPPER", "s3://b/../x", "dir:relative", "dir:/no/such", "a b"],
)
def test_malformed_ways_are_refused(transfer: str) -> None:
    """A way is one of those that there are."""
    with pytest.raises(InputError):
        backend_for(transfer, environment={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})


def test_service_without_scheme_is_reached_by_https() -> None:
    """The documented short form names the service alone."""
    assert backend_for("transfer.sh", environment={}).name == "https://transfer.sh"
    assert backend_for("filepush.co/upload", environment={}).name == "https://filepush.co"


def test_absent_service_is_told(source: Path, tmp_path: Path) -> None:
    """Nobody there: the error names the service and what to do."""
    backend = backend_for("http://127.0.0.1:1", environment={}, patience=HASTY)
    with (
        pytest.raises(EnvironmentFault, match=r"http://127\.0\.0\.1:1 cannot be used") as caught,
        backend.sender(_RUN, "input") as sender,
    ):
        send_volume(source, _key(), sender, scratch=tmp_path / "scratch")
    assert caught.value.hint


@pytest.mark.parametrize("cut", [0, 512, 100_000, 24_000_000])
def test_engine_that_ends_early_is_asked_again(tmp_path: Path, cut: int) -> None:
    """A tar that is cut is no whole one, and no attack either: what came of it stays, and the rest comes next time."""
    place = FakePlace(tmp_path / "root")
    backend = backend_for("ssh", environment={}, place=place)
    key, inside = _key(), tmp_path / "root" / str(PLACE).strip("/")
    inside.mkdir(parents=True)
    tag = _volume(inside / "output", key)
    parcel = backend.grant(_RUN, "output")
    place.cut_after = cut
    with pytest.raises(EnvironmentFault, match="ended the transfer before its end"):
        receive_volume(backend, _RUN, parcel, key, tag, tmp_path / "target")
    place.cut_after = None
    receive_volume(backend, _RUN, parcel, key, tag, tmp_path / "target")
    assert sorted(_files(tmp_path / "target")) == ["results/0001.png", "results/0002.png"]


def test_engine_that_gives_something_else_is_refused(tmp_path: Path) -> None:
    """Links and devices in a volume, and what is no tar, are refused as the host's doing."""
    place = FakePlace(tmp_path / "root")
    backend = backend_for("ssh", environment={}, place=place)
    key, inside = _key(), tmp_path / "root" / str(PLACE).strip("/")
    inside.mkdir(parents=True)
    tag = _volume(inside / "output", key)
    (inside / "output" / "results" / "0001.png").unlink()
    (inside / "output" / "results" / "0001.png").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="neither file nor directory"):
        receive_volume(backend, _RUN, backend.grant(_RUN, "output"), key, tag, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_wrong_credentials_are_told(s3: S3Server, source: Path, tmp_path: Path) -> None:
    """A bucket that does not know us: the error says so, and neither secret nor signature is in it."""
    s3.bucket("bucket")
    backend = backend_for("s3://bucket", environment=s3.environment("another secret"), patience=HASTY)
    with (
        pytest.raises(DeniedError, match="refused: SignatureDoesNotMatch") as caught,
        backend.sender(_RUN, "input") as sender,
    ):
        send_volume(source, _key(), sender, scratch=tmp_path / "scratch")
    assert not any(word in repr(caught.value) + str(caught.value) for word in ("another secret", "Signature="))


def test_host_reaches_its_own_places_alone(s3: S3Server) -> None:
    """What is signed for a host is good for its output, not for other objects, and not for reading or deleting."""
    bucket = s3.bucket("signed")
    backend = backend_for("s3://signed", environment=s3.environment(), patience=HASTY)
    grant = backend.grant(_RUN, "output")
    with request("GET", grant["grants"]["at"]) as answer:
        urls = json.loads(answer.read())
    assert all(f"/signed/{_RUN}/output-" in url for url in urls.values())
    with request("PUT", urls["000000"], body=b"data") as answer:
        assert answer.status == 200
    for method, url in (
        ("GET", urls["000000"]),
        ("DELETE", urls["000000"]),
        ("PUT", urls["000000"].replace("000000", "input")),
    ):
        with pytest.raises((DeniedError, InputError)), request(method, url, body=b"data"):
            pass
    with request("PUT", S3Account.of("s3://signed", s3.environment()).signed("PUT", "another/input-0", 60), body=b"x"):
        pass
    backend.sweep(_RUN)
    left = [str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file()]
    assert left == ["another/input-0"]


def test_expired_signature_is_refused(s3: S3Server) -> None:
    """A place that was signed for a while is of no use later."""
    s3.bucket("expired")
    account = S3Account.of("s3://expired", s3.environment())
    url = account.signed("PUT", "object", 1)
    time.sleep(2.1)
    # Amazon's answer is that this is forbidden, others' that the request is bad.
    with pytest.raises((DeniedError, InputError)), request("PUT", url, body=b"data"):
        pass


_MEASURED = """
import resource, sys
from pathlib import Path
from bannock.execution.transfer.backends import backend_for
from bannock.execution.transfer.host import pull, push
from bannock.execution.transfer.volumes import receive_volume, send_volume
from bannock.values import FspfKey

root = Path(sys.argv[1])
backend, key = backend_for(f"dir:{root / 'kept'}", environment={}), FspfKey(bytes(range(32)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with backend.sender("run", "input") as sender:
    tag, parcel = send_volume(root / "source", key, sender, scratch=root / "scratch")
pull(parcel, root / "host")
receive_volume(backend, "run", push(root / "host", backend.grant("run", "output")), key, tag, root / "target")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_volume(tmp_path: Path) -> None:
    """All four ways of a volume together take a few parts of memory, whatever its size."""
    (tmp_path / "source").mkdir()
    (tmp_path / "kept").mkdir()
    with (tmp_path / "source" / "large").open("wb") as file:
        file.truncate(192 << 20)
    command = [sys.executable, "-c", _MEASURED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 160
