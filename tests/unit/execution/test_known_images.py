"""What is known of images that runs had before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from bannock.errors import ConflictError
from bannock.execution import known_images
from bannock.execution.image_application import ImageApplication
from bannock.execution.known_images import KnownImages
from bannock.identity.tree import MeasuredFile, MeasurementTree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.images.model import Image
    from bannock.images.places import Places

_TREE = MeasurementTree(
    runtime=bytes(32),
    program="/usr/bin/cp",
    files={"/usr/bin/cp": MeasuredFile(digest=bytes(32), size=1)},
    links={"/bin/cp": "/usr/bin/cp"},
    settings={"SCONE_HEAP": "1"},
)


@dataclass
class _Image:
    """An image of which nothing but its name matters."""

    id: str
    notes: tuple[str, ...] = ("a note",)

    def written(self) -> _Image:
        return self


@dataclass
class _Places:
    """An engine with one image."""

    id: str = "sha256:1"
    is_engine: bool = True
    opened: list[str] = field(default_factory=list)

    def identify(self, _reference: str) -> str:
        return self.id if self.is_engine else ""

    def open(self, reference: str) -> _Image:
        self.opened.append(reference)
        return _Image(self.id)


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Applications are what the image's name and the template say."""

    def application_of(reference: str, image: _Image, *, template: str | None, variables: object) -> ImageApplication:
        del variables
        return ImageApplication(
            reference=reference,
            id=image.id,
            title="copy",
            program="/bin/cp",
            service="copy",
            input_volume="in",
            output_volume="out",
            template=template or "the image's own",
            settings={"SCONE_HEAP": "1"},
            tree=_TREE,
            insists=True,
        )

    monkeypatch.setattr(known_images, "application_of", application_of)
    monkeypatch.setattr(known_images, "facts_of", lambda image: (image,))


class _Asked:
    """Asks what an image is."""

    def __init__(self, conf: Path) -> None:
        self.places = _Places()
        self.notes: list[str] = []
        self._conf = conf

    def __call__(
        self, reference: str = "copy", template: str | None = None, **variables: str
    ) -> tuple[ImageApplication, Callable[[], Image]]:
        return KnownImages(self._conf).application(
            cast("Places", self.places), reference, template=template, variables=variables, note=self.notes.append
        )


@pytest.fixture
def asked(private_path: Path) -> _Asked:
    """Somebody who asks."""
    return _Asked(private_path)


def test_an_image_is_read_once(asked: _Asked) -> None:
    """The second time, an image is known, and is opened only if somebody needs it."""
    first, _ = asked()
    second, image = asked()
    assert first == second
    assert asked.places.opened == ["copy"]
    assert asked.notes == ["a note"]
    assert cast("_Image", image()).id == "sha256:1"
    assert asked.places.opened == ["copy", "copy"]


def test_whatever_else_decides_is_part_of_it(asked: _Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another image, name, template, variable or runtime is looked at anew."""
    asked()
    asked("other")
    asked(template="mine")
    asked(COUNT="1")
    asked(COUNT="2")
    asked.places.id = "sha256:2"
    assert asked()[0].id == "sha256:2"
    monkeypatch.setattr(known_images, "runtime_build", lambda: b"another")
    asked()
    assert len(asked.places.opened) == 7


def test_an_image_that_no_engine_names(asked: _Asked) -> None:
    """A registry is asked each time which image it is, and its layers are not read again."""
    asked.places.is_engine = False
    asked()
    again, image = asked()
    assert again.id == cast("_Image", image()).id == "sha256:1"
    assert asked.places.opened == ["copy", "copy"]
    assert asked.notes == ["a note"]
    asked.places.id = "sha256:2"
    assert asked()[0].id == "sha256:2"


def test_a_name_that_means_another_image_meanwhile(asked: _Asked) -> None:
    """What is sent to a host is what was looked at."""
    asked()
    _, image = asked()
    asked.places.id = "sha256:2"
    with pytest.raises(ConflictError, match="became another one"):
        image()


def test_nothing_of_the_user_s_is_written_down(asked: _Asked, private_path: Path) -> None:
    """Neither values nor templates that the user brings along are in what is kept, nor can they be guessed from it."""
    for _ in range(2):
        assert asked(template="my template", PASSWORD="secret")[0].template == "my template"
    assert len(asked.places.opened) == 1
    files = list((private_path / "images").iterdir())
    assert not [path for path in files if b"my template" in path.read_bytes() or b"secret" in path.read_bytes()]
    for path in files:
        if path.suffix == ".json":
            path.unlink()
    (key,) = (private_path / "images").iterdir()
    key.write_bytes(bytes(32))
    asked(template="my template", PASSWORD="secret")
    assert {path.name for path in files} & {path.name for path in (private_path / "images").iterdir()} == {"key"}


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"id": 1}', b"\xff"])
def test_what_is_damaged_is_found_out_anew(asked: _Asked, private_path: Path, data: bytes) -> None:
    """A file that cannot be read is as good as none."""
    before, _ = asked()
    (path,) = (private_path / "images").glob("*.json")
    path.write_bytes(data)
    assert asked()[0] == before
    assert len(asked.places.opened) == 2


def test_what_others_could_have_written_does_not_count(asked: _Asked, private_path: Path) -> None:
    """A file that is open to others is not believed."""
    asked()
    (path,) = (private_path / "images").glob("*.json")
    path.chmod(0o644)
    asked()
    assert len(asked.places.opened) == 2


def test_the_oldest_are_forgotten(asked: _Asked, private_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is an end to what is kept."""
    monkeypatch.setattr(known_images, "_KEPT_MAX", 3)
    for number in range(6):
        asked(f"image-{number}")
    assert len(list((private_path / "images").glob("*.json"))) == 3
