"""The four steps of the tutorial of SCONE on Kubernetes, with its documents as they are and ``docker run``."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.tutorial import SIMULATION, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import Container, Engine, Registry
    from tests.curated_images import CuratedImages

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.slow]

#: The address that the tutorial's manifests name.
_BRIDGE: Final = "172.17.0.1"
_OTHERS_SECONDS: Final = 300.0
_HELLO: Final = "Hello World!\n$GREETING is: "
_SECRET: Final = "hello from SCONE!!!"


@pytest.fixture(scope="module")
def cas(engine: Engine, curated: CuratedImages) -> Iterator[str]:
    """Give the address of a CAS with its usual ports; a LAS has the address of the tutorial's."""
    network = json.loads(engine.output("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    if network.get("Gateway", _BRIDGE) != _BRIDGE:
        pytest.skip(f"containers of this engine do not find its host at {_BRIDGE}")
    _wait_until_free(_BRIDGE, 18766)
    of_host = ("--network", "host", "--pid", "host", "--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN")
    with (
        engine.started(curated.of("las"), "--listen", f"{_BRIDGE}:18766", options=of_host) as las,
        engine.started(curated.of("cas")) as cas,
    ):
        las.wait_for("LAS at")
        cas.wait_for("for enclaves at")
        yield cas.address


def _wait_until_free(host: str, port: int) -> None:
    """Wait while somebody else on this machine has the tutorial's address; another run of these tests, say."""
    end = time.monotonic() + _OTHERS_SECONDS
    while True:
        try:
            socket.create_server((host, port)).close()
        except OSError:
            assert time.monotonic() < end, f"{host}:{port} is taken"
            time.sleep(1)
        else:
            return


@pytest.fixture(scope="module")
def python(engine: Engine, curated: CuratedImages, registry: Registry) -> str:
    """Give the curated image of Python, in a registry."""
    name = f"{registry.address}/{engine.prefix}/kubernetes:python"
    engine.run("tag", curated.of("python"), name)
    engine.run("push", name)
    return name


@pytest.fixture(scope="module")
def prepared(
    engine: Engine, registry: Registry, python: str, cas: str, tmp_path_factory: pytest.TempPathFactory
) -> Reader:
    """Give a reader with a workspace, client certificates and a namespace."""
    variables = {"BASE_IMAGE": python, "SCONE_CAS_ADDR": cas, "REGISTRY": f"{registry.address}/{engine.prefix}"}
    reader = Reader(engine, tmp_path_factory.mktemp("tutorial"), variables)
    told = reader.types("client-certificates", "namespace", "server")
    assert len(json.loads(told)["hash"]) == 64
    return reader


@pytest.fixture
def reader(prepared: Reader, tmp_path: Path) -> Reader:
    """Give a reader who goes on from there."""
    return prepared.copy(tmp_path / "reader")


def _posts(reader: Reader, document: str, more: str = "") -> str:
    """Post a session as the tutorial does, and give its hash."""
    path = reader.directory / f"{document}.yaml"
    path.write_text(path.read_text() + more)
    answer = json.loads(reader.types(f"post-{document}"))
    assert "hash" in answer, answer
    return str(answer["hash"])


def test_hello_world(reader: Reader) -> None:
    """Step 1: without attestation the application serves, with the environment that the container has."""
    reader.types("dockerfile")
    reader.builds("$REGISTRY/hello:0.1")
    reader.types("app")
    with reader.applies("app.yaml", options=()) as container:
        assert reader.asks(container, 8080) == f"{_HELLO}howdy!\n"
        assert "nothing is attested" in container.logs


def test_attested(reader: Reader) -> None:
    """Step 2: the greeting comes from the session, and what the container has is ignored."""
    reader.types("dockerfile")
    reader.builds("$REGISTRY/hello:0.1")
    reader.types("mrenclave", "session", "attested-app")
    posted = _posts(reader, "session")
    with reader.applies("attested-app.yaml") as container:
        # Without SGX, which the tutorial's cluster has, this session is for nobody here.
        assert reader.ends(container) != 0
        assert "simulation" in container.logs
    _posts(reader, "session", f"{SIMULATION}predecessor: {posted}\n")
    with reader.applies("attested-app.yaml", GREETING="from the host") as container:
        assert reader.asks(container, 8080) == f"{_HELLO}{_SECRET}\n"
        _attack(container)
        # What runs is not affected by what became of its files.
        assert reader.asks(container, 8080) == f"{_HELLO}{_SECRET}\n"


def _attack(container: Container) -> None:
    """Be root in a container, and look everywhere but in /proc, which test_container_root.py does."""
    looked = container.execute("sh", "-c", 'echo "$GREETING"; env')
    assert "GREETING=from the host\n" in looked.stdout
    assert _SECRET not in looked.stdout
    assert _found(container, _SECRET) == ""
    # It does find what is there.
    assert _found(container, "HTTPHelloWorldHandler") == "/app/server.py\n"


def _found(container: Container, text: str) -> str:
    """Give the files that a text is in."""
    # The command itself does not have it: this shell's words are in /proc, and nowhere else.
    return container.execute(
        "grep", "-rasl", "-D", "skip", "--exclude-dir=proc", "--exclude-dir=sys", text, "/"
    ).stdout


def test_tls_from_cas(reader: Reader) -> None:
    """Step 3: the application serves TLS with a key and a certificate that the CAS made, and the host never sees."""
    reader.types("server-tls", "dockerfile-tls")
    reader.builds("$REGISTRY/hello:0.2")
    reader.types("mrenclave", "session-tls-certs", "attested-app-tls-certs")
    _posts(reader, "session-tls-certs", SIMULATION)
    with reader.applies("attested-app-tls-certs.yaml") as container:
        greeting = "hello from SCONE with TLS and auto-generated certs!!!"
        assert reader.asks(container, 4443) == f"{_HELLO}{greeting}\n"
        assert container.execute("sh", "-c", "cat /app/*.pem").stdout == ""


def test_encrypted_source_code(reader: Reader, curated: CuratedImages) -> None:
    """Step 4: the application's source is encrypted in the image, and Python alone reads it once it is attested."""
    reader.types("server-tls")
    script = (reader.blocks / "encrypt.sh").read_text()
    reader.types(
        f"docker run -i --rm -e SCONE_MODE=sim -v $PWD:/tutorial {curated.of('tools')} sh << 'END'\n{script}END\n"
    )
    assert b"HTTPServer" not in (reader.directory / "app_image" / "app" / "server-tls.py").read_bytes()
    reader.types("dockerfile-encrypted")
    reader.builds("$REGISTRY/hello:0.3")
    reader.types("mrenclave", "key-and-tag", "session-tls", "attested-app-tls")
    _posts(reader, "session-tls", SIMULATION)
    with reader.applies("attested-app-tls.yaml") as container:
        greeting = "hello from SCONE with encrypted source code and auto-generated certs!!!"
        assert reader.asks(container, 4443) == f"{_HELLO}{greeting}\n"
        assert _found(container, "HTTPHelloWorldHandler") == ""
        # An edited program is refused when it is started; the one that runs goes on.
        container.execute("sh", "-c", "printf x | dd of=/app/server-tls.py bs=1 seek=60 conv=notrunc", check=True)
        assert reader.asks(container, 4443) == f"{_HELLO}{greeting}\n"
        container.engine.run("restart", container.name)
        assert reader.ends(container) != 0
        assert greeting not in container.logs
