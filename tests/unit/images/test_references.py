"""What users call images is understood as Docker and skopeo understand it, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.images.references import (
    DockerArchive,
    EngineImage,
    ImageName,
    NamedImage,
    OciArchive,
    OciLayout,
    RegistryImage,
    parse_reference,
)

_DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/python", "docker.io/library/python:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
        ("[::1]:5000/a:1", "[::1]:5000/a:1"),
        ("ghcr.io/a/b__c/d-e.f", "ghcr.io/a/b__c/d-e.f:latest"),
        (f"quay.io/x@{_DIGEST}", f"quay.io/x@{_DIGEST}"),
        (f"quay.io/x:1@{_DIGEST}", f"quay.io/x:1@{_DIGEST}"),
    ],
)
def test_names(text: str, whole: str) -> None:
    """What goes without saying is said, and can be left out again."""
    name = ImageName.parse(text)
    assert str(name) == whole
    assert ImageName.parse(name.familiar) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "Upper",
        "a:",
        "a:.tag",
        "a:" + "t" * 129,
        "a@sha256:0",
        "a@",
        "../a",
        "a/../b",
        "a b",
        "a\n",
        "host.example:port/a",
        "-host.example/a",
        "a" * 256,
        "localhost:5000/",
        "a?x=1",
        "http://a.example/b",
    ],
)
def test_no_names(text: str) -> None:
    """What a registry would take for something else is no name."""
    with pytest.raises(InputError):
        ImageName.parse(text)


def test_kinds() -> None:
    """Each place has its prefix; a name without one is looked for."""
    name = ImageName.parse("app:1")
    expected = {
        "app:1": NamedImage(name),
        "docker-daemon:app:1": EngineImage(name),
        f"docker-daemon:{_DIGEST}": EngineImage(_DIGEST),
        "0" * 64: EngineImage("0" * 64),
        "docker://app:1": RegistryImage(name),
        "oci:/a/b": OciLayout(Path("/a/b")),
        "oci:dir:tag": OciLayout(Path("dir"), "tag"),
        "oci:dir:with/slash": OciLayout(Path("dir:with/slash")),
        "oci-archive:a.tar:tag": OciArchive(Path("a.tar"), "tag"),
        "docker-archive:a.tar": DockerArchive(Path("a.tar")),
        "docker-archive:a.tar:app:1": DockerArchive(Path("a.tar"), name),
    }
    assert {text: parse_reference(text) for text in expected} == expected
    assert all(parse_reference(str(reference)) == reference for reference in expected.values())


@pytest.mark.parametrize(
    "text", ["oci:", "oci:dir:", "oci-archive:", "docker-archive::x", "docker-daemon:", "docker://"]
)
def test_no_references(text: str) -> None:
    """A prefix alone is no image."""
    with pytest.raises(InputError):
        parse_reference(text)


def test_stored_under_a_tag() -> None:
    """What is yet to be made cannot have a digest already."""
    assert ImageName.parse(f"a:1@{_DIGEST}").tagged == ImageName.parse("a:1")
    with pytest.raises(InputError, match="under a tag"):
        _ = ImageName.parse(f"a@{_DIGEST}").tagged


@given(st.text(alphabet=":/@.-_[]aA0\0\n", max_size=30))
def test_any_text(text: str) -> None:
    """Whatever is typed, it is a name that a URL can hold, or our error."""
    try:
        found = parse_reference(text)
    except InputError:
        return
    if isinstance(found, NamedImage | RegistryImage):
        assert not set(str(found.name)) & set("\0\n?#% \\")
