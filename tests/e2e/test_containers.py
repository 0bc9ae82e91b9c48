"""The engine, the registry and the base images that other tests build on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import containers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers import BaseImages, Engine, Registry

pytestmark = pytest.mark.docker


def test_busybox_alone(engine: Engine, bases: BaseImages) -> None:
    """The image has nothing but busybox, which runs."""
    done = engine.in_container(bases.busybox(), "sh", "-c", "ls /; ls /lib || id -u")
    assert set(done.stdout.split()) >= {"bin", "etc", "tmp", "0"}
    assert "lib" not in done.stdout.split()


def test_musl_is_there(engine: Engine, bases: BaseImages) -> None:
    """The image has musl's loader where programs for it ask for it, and no other C library."""
    done = engine.in_container(
        bases.musl(), "sh", "-c", "ls -L /lib/ld-musl-x86_64.so.1; find / -xdev -name 'libc.so*'"
    )
    assert done.stdout.split() == ["/lib/ld-musl-x86_64.so.1", "/lib/x86_64-linux-musl/libc.so"]


def test_an_empty_image(engine: Engine, bases: BaseImages, registry: Registry) -> None:
    """An image without any file can be built on, pushed to a registry, and pulled from it."""
    name = f"{registry.address}/{engine.prefix}/empty:1"
    engine.run("tag", bases.empty(), name)
    engine.run("push", name)
    engine.run("rmi", name)
    assert "empty" in engine.run("pull", name).stdout
    assert engine.output("inspect", "-f", "{{.Size}}", name) == "0"


def test_an_engine_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine runs, one is started, builds and runs an image, and nothing of it is left."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    # Two engines that share a network remove each other's bridges and rules.
    with containers.running_engine(tmp_path, "unshare", "--net") as engine:
        assert engine.is_up()
        base = containers.BaseImages.in_directory(engine, tmp_path).busybox()
        (tmp_path / "context").mkdir()
        (tmp_path / "context" / "Dockerfile").write_text(f"FROM {base}\nRUN echo here > /file\nCMD cat /file\n")
        assert engine.in_container(engine.built("ours", tmp_path / "context")).stdout == "here\n"
    assert not engine.socket.exists()
    assert not (tmp_path / "data").exists()
