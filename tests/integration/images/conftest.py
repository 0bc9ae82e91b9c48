"""What tests of images share."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from bannock.images import registry_web
from bannock.images.blobs import Scratch
from bannock.images.config import Config
from bannock.images.credentials import Credentials
from bannock.images.registry import Registries
from tests.integration.images.fake_registry import running_fake
from tests.unit.images.build import image, layer, tar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.images.model import Image
    from tests.integration.images.fake_registry import FakeRegistry


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    """A place for layers."""
    with Scratch(tmp_path / "scratch") as made:
        yield made


@pytest.fixture
def app(scratch: Scratch) -> Image:
    """An image of two layers, one of them packed."""
    layers = (layer(tar({"a": b"1" * 100_000}), scratch), layer(tar({"b": b"2"}), scratch, "gzip"))
    return image(*layers, config=Config(cmd=("python3",)))


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A registry that does as the test wants."""
    with running_fake() as made:
        yield made


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    """Another one."""
    with running_fake() as made:
        yield made


@pytest.fixture
def registries(fake: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registries]:
    """All registries, with a login for the fake one; nothing is waited for."""
    monkeypatch.setattr(registry_web, "_PAUSES", (0.0, 0.0, 0.0))
    login = base64.b64encode(b"user:pass:word").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {fake.address: {"auth": login}}}))
    yield from _registries(tmp_path)


@pytest.fixture
def reader(registries: Registries, tmp_path: Path) -> Iterator[Registries]:
    """The same for somebody else, who has none of the layers yet."""
    assert registries
    yield from _registries(tmp_path)


def _registries(directory: Path) -> Iterator[Registries]:
    with Scratch(directory / "fetched") as scratch:
        made = Registries(
            Credentials(directory / "config.json"),
            scratch=scratch,
            memory=directory / "memory",
            authorities=directory / "certs.d",
        )
        yield made
        made.close()
