"""The transfer service and its client, over real sockets and files."""

from __future__ import annotations

import http.client
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from bannock.errors import EnvironmentFault, InputError, IntegrityError, NotFoundError, PeerError
from bannock.execution.transfer.archive import Limits
from bannock.execution.transfer.client import TransferClient, Uploaded
from bannock.execution.transfer.service import TransferService
from bannock.execution.transfer.store import StoreLimits, TransferStore
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAY = 86_400


class _Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class _Service:
    """A running service, its directory and its clock."""

    def __init__(self, directory: Path, server: ThreadedServer, clock: _Clock) -> None:
        self.directory = directory
        self.clock = clock
        self.client = TransferClient(f"http://127.0.0.1:{server.port}")
        self._port = server.port

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Send a request as curl would."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def put(self, content: bytes, **headers: str) -> tuple[str, str]:
        """Keep a file; return the paths that fetch and delete it."""
        status, body, answered = self.ask("PUT", "/name.bin", content, **headers)
        assert status == 200
        return urlsplit(body.decode().strip()).path, urlsplit(answered["x-url-delete"]).path


@contextmanager
def _serving(directory: Path, limits: StoreLimits) -> Iterator[_Service]:
    clock = _Clock()
    store = TransferStore(directory, limits, now=clock())
    app = TransferService(store, clock=clock)
    with ThreadedServer(Endpoint(app=app, sock=bind_tcp(Address("127.0.0.1", 0)))) as server:
        yield _Service(directory, server, clock)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[_Service]:
    """A service with the usual limits."""
    with _serving(tmp_path / "service", StoreLimits()) as running:
        yield running


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A directory as a volume is one."""
    source = tmp_path / "volume"
    (source / "below").mkdir(parents=True)
    (source / "volume.fspf").write_bytes(os.urandom(5000))
    (source / "below" / "naïve 🥐").write_bytes(os.urandom(3 << 20))
    return source


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_directory_goes_up_and_comes_down(service: _Service, volume: Path, tmp_path: Path) -> None:
    """What is uploaded is downloaded, and both directions are told how far they are."""
    sent: list[int] = []
    came: list[int] = []
    expected: list[int] = []
    uploaded = service.client.upload(volume, "volume", observer=sent.append, sized=expected.append)
    service.client.download(uploaded.url, tmp_path / "target", observer=came.append, sized=expected.append)
    assert _files(tmp_path / "target") == _files(volume)
    assert [sum(sent), sum(came)] == expected == [uploaded.size, uploaded.size]


def test_deleted_directory_is_gone(service: _Service, volume: Path, tmp_path: Path) -> None:
    """After its deletion nothing of a file is left, not even in the service's directory."""
    uploaded = service.client.upload(volume, "volume")
    service.client.delete(uploaded)
    with pytest.raises(NotFoundError):
        service.client.download(uploaded.url, tmp_path / "target")
    assert list(service.directory.iterdir()) == []


def test_answers_are_those_of_transfer_sh(service: _Service) -> None:
    """PUT answers the URL as text and the one that deletes; GET and HEAD tell the size."""
    status, body, headers = service.ask("PUT", "/photo.jpg", b"content")
    assert status == 200
    assert re.fullmatch(rb"http://127\.0\.0\.1:\d+/[\w-]{22}/photo\.jpg\n", body)
    assert headers["x-url-delete"].startswith(body.decode().strip() + "/")
    path = urlsplit(body.decode().strip()).path
    status, content, headers = service.ask("GET", path)
    assert (status, content, headers["content-length"]) == (200, b"content", "7")
    status, content, headers = service.ask("HEAD", path)
    assert (status, content, headers["content-length"]) == (200, b"", "7")


def test_files_are_private(service: _Service) -> None:
    """Nobody else on the service's machine reads what is kept."""
    service.put(b"content")
    modes = {path.stat().st_mode & 0o777 for path in (service.directory, *service.directory.rglob("*"))}
    assert modes == {0o600, 0o700}


def test_deletion_needs_its_token(service: _Service) -> None:
    """Whoever can fetch a file can not delete it."""
    path, deletion = service.put(b"content")
    assert service.ask("DELETE", f"{path}/{'x' * 22}")[0] == 404
    assert service.ask("GET", path)[0] == 200
    assert service.ask("DELETE", deletion)[0] == 200
    assert service.ask("GET", path)[0] == 404


def test_number_of_downloads(service: _Service) -> None:
    """After Max-Downloads a file is gone; HEAD does not count."""
    path, _ = service.put(b"content", Max_Downloads="2")
    assert [service.ask(method, path)[0] for method in ("GET", "HEAD", "GET", "GET", "HEAD")] == [
        200,
        200,
        200,
        404,
        404,
    ]
    assert list(service.directory.iterdir()) == []


def test_expiry(service: _Service) -> None:
    """After Max-Days a file is not given any more, and removed when the next one comes."""
    path, _ = service.put(b"content", Max_Days="2")
    service.clock.now += 2 * _DAY - 1
    assert service.ask("GET", path)[0] == 200
    service.clock.now += 1
    assert service.ask("GET", path)[0] == 404
    service.put(b"other")
    assert len(list(service.directory.iterdir())) == 1


def test_kept_for_no_longer_than_the_service_allows(service: _Service) -> None:
    """A client cannot ask for more days than the service gives."""
    path, _ = service.put(b"content", Max_Days="100000")
    service.clock.now += StoreLimits().days * _DAY
    assert service.ask("GET", path)[0] == 404


@pytest.mark.parametrize("header", ["0", "-1", "x", "1" * 20, "\u00b2"])
def test_malformed_numbers_are_refused(service: _Service, header: str) -> None:
    """Max-Days is a number of at least 1."""
    status, _, _ = service.ask("PUT", "/name", b"content", Max_Days=header.encode().decode("latin-1"))
    assert status == 400
    assert list(service.directory.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["/", "/..", "/.hidden", "/%2e%2e%2fx", "/a b", "/a%00b", f"/{'n' * 129}", "/a/b/c/d", "/%2Fetc%2Fpasswd"]
)
def test_bad_names_are_refused(service: _Service, path: str) -> None:
    """A name is a plain file name, and nothing of it reaches the file system."""
    assert service.ask("PUT", path.replace(" ", "%20"), b"content")[0] in (400, 404)
    assert list(service.directory.iterdir()) == []


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/about", "/x/y", f"/{'A' * 22}/name.bin"])
def test_unknown_files_are_not_found(service: _Service, path: str) -> None:
    """There is nothing to be had but by an id that was given."""
    service.put(b"content")
    assert service.ask("GET", path)[0] == 404


def test_file_that_is_too_large_is_refused(tmp_path: Path, volume: Path) -> None:
    """A file over the limit is refused while it comes, and leaves nothing."""
    with _serving(tmp_path / "service", StoreLimits(file_bytes=1 << 20)) as service:
        with pytest.raises(InputError, match="larger than the 1048576 bytes"):
            service.client.upload(volume, "volume")
        assert list(service.directory.iterdir()) == []


def test_full_service_says_so(tmp_path: Path, volume: Path) -> None:
    """What does not fit beside what is kept is refused; there is room again once something is deleted."""
    with _serving(tmp_path / "service", StoreLimits(total_bytes=5 << 20)) as service:
        first = service.client.upload(volume, "volume")
        with pytest.raises(EnvironmentFault, match="cannot take it now"):
            service.client.upload(volume, "volume")
        service.client.delete(first)
        service.client.upload(volume, "volume")


def test_restarted_service_keeps_its_files(tmp_path: Path) -> None:
    """Files outlive the service, but for those that had not come whole."""
    directory = tmp_path / "service"
    with _serving(directory, StoreLimits()) as service:
        path, _ = service.put(b"content")
    half = directory / ("h" * 22)
    half.mkdir(mode=0o700)
    (half / "data").write_bytes(b"half")
    with _serving(directory, StoreLimits(total_bytes=10)) as service:
        assert service.ask("GET", path)[1] == b"content"
        assert not half.exists()
        assert service.ask("PUT", "/more", b"four")[0] == 503


def test_cut_download_is_refused(service: _Service, volume: Path, tmp_path: Path) -> None:
    """A service that keeps a part back is found out."""
    uploaded = service.client.upload(volume, "volume")
    data = next(service.directory.rglob("data"))
    os.truncate(data, uploaded.size - 4096)
    about = data.with_name("about")
    about.write_text(about.read_text().replace(str(uploaded.size), str(uploaded.size - 4096)))
    with pytest.raises(IntegrityError, match="cut"):
        service.client.download(uploaded.url, tmp_path / "target")


def test_download_is_bounded(service: _Service, volume: Path, tmp_path: Path) -> None:
    """A service cannot fill the client's disk."""
    uploaded = service.client.upload(volume, "volume")
    with pytest.raises(IntegrityError, match="more than"):
        service.client.download(uploaded.url, tmp_path / "target", limits=Limits(bytes=1 << 20))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/id/name", "file:///etc/passwd", "https://elsewhere.example/x", "nonsense"]
)
def test_client_is_not_sent_elsewhere(service: _Service, tmp_path: Path, url: str) -> None:
    """A host that names another service, or a file, is refused."""
    with pytest.raises(PeerError):
        service.client.download(url, tmp_path / "target")
    with pytest.raises(PeerError):
        service.client.delete(Uploaded(url=url, deletion_url=url, size=0))


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://user@host", "http://host:99999", "http://h\n"])
def test_malformed_service_addresses_are_refused(url: str) -> None:
    """A service is an http or https URL."""
    with pytest.raises(InputError, match="a transfer service is"):
        TransferClient(url)


def test_absent_service_is_told(volume: Path) -> None:
    """Nobody there: the error names the address and what to do."""
    client = TransferClient("http://127.0.0.1:1")
    with pytest.raises(EnvironmentFault, match=r"http://127\.0\.0\.1:1 cannot be used") as caught:
        client.upload(volume, "volume")
    assert caught.value.hint
