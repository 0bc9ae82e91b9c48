"""Images of container engines, and engines that do not do as they say."""

from __future__ import annotations

import http.server
import json
import re
import socketserver
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import EnvironmentFault, IntegrityError, NotFoundError, PeerError
from bannock.images import engine as engine_module
from bannock.images.archives import docker_archive_of
from bannock.images.config import History
from bannock.images.digests import BLOCK
from bannock.images.engine import Engine
from bannock.images.places import Places
from bannock.images.references import ImageName
from bannock.images.tree import Tree
from tests.unit.images.build import item, tar, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.images.blobs import Scratch
    from bannock.images.model import Image
    from tests.containers import Engine as RealEngine
    from tests.containers import Registry

_APP = ImageName.parse("app:1")


class _FakeEngine:
    """An engine that has one image, or says that it has."""

    def __init__(self, path: Path) -> None:
        self.image: Image | None = None
        self.given: Image | None = None
        self.taken: list[int] = []
        self.answers: list[bytes] = []
        self.after_load: Image | None = None
        self.cut = 0
        engine = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self, status: int, body: bytes, length: int | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                image = engine.image
                if image is None:
                    self._answer(404, b'{"message": "No such image"}')
                elif self.path == "/images/json":
                    self._answer(200, json.dumps([{"Id": image.written().id}]).encode())
                elif self.path.endswith("/get"):
                    data = b"".join(docker_archive_of(engine.given or image, None)[0])
                    self._answer(200, data[: len(data) - engine.cut], len(data))
                else:
                    found = {"Id": image.written().id, "RootFS": {"Layers": list(image.config.diff_ids)}}
                    self._answer(200, json.dumps(found).encode())

            def do_POST(self) -> None:
                left = size = int(self.headers["Content-Length"])
                while left:
                    left -= len(self.rfile.read(min(BLOCK, left)))
                engine.taken.append(size)
                engine.image = engine.after_load or engine.image
                self._answer(200, engine.answers.pop(0) if engine.answers else b'{"stream": "Loaded"}\n')

            def log_message(self, *_: object) -> None:
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            def get_request(self) -> tuple[Any, Any]:
                request, _ = super().get_request()
                return request, ("engine", 0)

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fake_engine(tmp_path: Path) -> Iterator[_FakeEngine]:
    """An engine that does as the test wants."""
    made = _FakeEngine(tmp_path / "sock")
    yield made
    made.close()


@pytest.fixture
def client(tmp_path: Path) -> Engine:
    """What speaks with it."""
    return Engine.of({"DOCKER_HOST": f"unix://{tmp_path}/sock"})


def test_opened(client: Engine, fake_engine: _FakeEngine, app: Image, scratch: Scratch) -> None:
    """What the engine gives is opened by its id, and verified."""
    fake_engine.image = app
    found = client.open("app:1", reference="it", scratch=scratch)
    assert found.written().id == app.written().id
    assert [one.unpacked().read() for one in found.layers] == [one.unpacked().read() for one in app.layers]


def test_what_is_not_there(client: Engine, fake_engine: _FakeEngine, scratch: Scratch, tmp_path: Path) -> None:
    """An image that the engine does not have, and an engine that is not there, are told apart."""
    assert not client.has("app:1")
    with pytest.raises(NotFoundError, match="has no image app:1"):
        client.open("app:1", reference="it", scratch=scratch)
    assert not fake_engine.taken
    nobody = Engine.of({"DOCKER_HOST": f"unix://{tmp_path}/nobody"})
    with pytest.raises(EnvironmentFault, match="cannot reach"):
        nobody.has("app:1")
    with pytest.raises(EnvironmentFault, match="cannot reach the container engine at"):
        nobody.open("app:1", reference="it", scratch=scratch)


def test_engine_that_gives_another_image(
    client: Engine, fake_engine: _FakeEngine, app: Image, scratch: Scratch
) -> None:
    """An image with other layers than the engine itself says is refused."""
    fake_engine.image, fake_engine.given = app, app.changed(layers=app.layers[:1])
    with pytest.raises(IntegrityError, match="other layers than app:1 has"):
        client.open("app:1", reference="it", scratch=scratch)


def test_engine_that_breaks_off(client: Engine, fake_engine: _FakeEngine, app: Image, scratch: Scratch) -> None:
    """An image that ends in the middle is none."""
    fake_engine.image, fake_engine.cut = app, 2000
    with pytest.raises(EnvironmentFault):
        client.open("app:1", reference="it", scratch=scratch)


def test_layers_that_are_there_are_not_sent(client: Engine, fake_engine: _FakeEngine, app: Image) -> None:
    """An engine gets the layers that it does not have; all of them where it has removed them meanwhile."""
    fake_engine.after_load = app
    client.store(app, _APP)
    client.store(app, _APP)
    whole, part = fake_engine.taken
    assert whole > 100_000
    assert part < 10_000
    fake_engine.answers = [b'{"error": "open /layer.tar: no such file"}\n']
    client.store(app, _APP)
    assert fake_engine.taken[2:] == [part, whole]


def test_engine_that_refuses(client: Engine, fake_engine: _FakeEngine, app: Image) -> None:
    """What the engine says against an image is repeated."""
    fake_engine.answers = [b'not json\n{"errorDetail": {}, "error": "no space left on device"}\n']
    with pytest.raises(PeerError, match="no space left on device"):
        client.store(app, _APP)


def test_engine_that_has_another_image_afterwards(client: Engine, fake_engine: _FakeEngine, app: Image) -> None:
    """An engine that took an image and has another one under its name is told."""
    fake_engine.after_load = app.changed(layers=app.layers[:1])
    with pytest.raises(PeerError, match="another one there"):
        client.store(app, _APP)


@pytest.mark.docker
def test_between_engine_registry_and_files(engine: RealEngine, registry: Registry, tmp_path: Path) -> None:
    """An image goes from an engine to a file, a registry and back, stays the same, is changed, and runs."""
    name = engine.imported("oci", write(tmp_path, "base.tar", tar({"etc": None, "etc/a": b"lower"})), "ENV A=1")
    environment = {"DOCKER_HOST": engine.host, "HOME": str(tmp_path)}
    with Places.prepared(cache=tmp_path / "cache", environment=environment) as places:
        found = places.open(name)
        assert found.reference == f"docker-daemon:{name}:latest"
        assert f"sha256:{found.written().id.removeprefix('sha256:')}" == engine.output(
            "inspect", "-f", "{{.Id}}", name
        )
        with places.new_layer() as writer:
            writer.whiteout("etc/a")
            writer.file("etc/b", b"upper")
            layer = writer.finish()
        config = found.config.changed(
            env=(*found.config.env, ("B", "2")), history=(*found.config.history, History(created_by="test"))
        )
        changed = found.changed(config=config, layers=[*found.layers, layer])
        where = [
            f"oci:{tmp_path}/l",
            f"docker://{registry.address}/bannock/oci:1",
            f"docker-archive:{tmp_path}/d.tar",
            f"docker-daemon:{engine.name('oci-changed')}",
        ]
        stored = [places.store(changed, place) for place in where]
        assert len({one.id for one in stored}) == 1
        for place in where:
            tree = Tree.of(places.open(place))
            assert tree.read("/etc/b") == b"upper"
            assert tree.find("/etc/a") is None

    target = engine.name("oci-changed")
    assert engine.output("inspect", "-f", "{{.Config.Env}}", target) == "[A=1 B=2]"
    engine.run("pull", "-q", f"{registry.address}/bannock/oci:1")
    assert engine.output("inspect", "-f", "{{.Id}}", f"{registry.address}/bannock/oci:1") == stored[0].id
    engine.run("rmi", f"{registry.address}/bannock/oci:1")
    loaded = engine.run("load", "-q", "-i", str(tmp_path / "d.tar")).stdout
    assert re.search(stored[0].id, loaded)
    container = engine.run("create", "--name", engine.name("oci-c"), target, "/none").stdout.strip()
    names = engine.run("export", "-o", str(tmp_path / "x.tar"), container)
    assert names.returncode == 0
    assert b"etc/b" in (tmp_path / "x.tar").read_bytes()
    assert b"etc/a" not in (tmp_path / "x.tar").read_bytes()


@pytest.mark.docker
@pytest.mark.root
def test_the_storage_has_what_the_engine_gives(
    engine: RealEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers of a build, with links of both kinds and names of all sorts, are put together without the engine."""
    if engine.output("info", "-f", "{{.Driver}}") != "overlay2":
        pytest.skip("the engine keeps its layers in another way")
    names = {"d": None, "d/é": b"1", "d/\udcff": b"2" * 70_000, "d/link": item("d/link", tarfile.SYMTYPE, link="é")}
    lower = {**names, "d/same": item("d/same", tarfile.LNKTYPE, link="d/é"), f"d/{'n' * 200}": b"3"}
    name = engine.imported("storage", write(tmp_path, "base.tar", tar(lower)))
    (tmp_path / "Dockerfile").write_text(f"FROM {name}\nCOPY base.tar /d/copied\n")
    built = engine.built("storage-built", tmp_path)
    asked: list[str] = []
    given = engine_module.Engine._given

    def counted(self: Engine, *arguments: Any, **others: Any) -> Image:
        asked.append(built)
        return given(self, *arguments, **others)

    monkeypatch.setattr(engine_module.Engine, "_given", counted)
    environment = {"DOCKER_HOST": engine.host, "HOME": str(tmp_path)}
    with Places.prepared(cache=tmp_path / "cache", environment=environment) as places:
        stored = places.open(built)
        assert not asked
        monkeypatch.setattr(engine_module, "image_in_storage", lambda *_, **__: None)
        saved = places.open(built)
        assert asked
        assert stored.written().id == saved.written().id
        for ours, theirs in zip(stored.layers, saved.layers, strict=True):
            assert ours.entries() == theirs.entries()
            assert ours.unpacked().read() == theirs.unpacked().read()
