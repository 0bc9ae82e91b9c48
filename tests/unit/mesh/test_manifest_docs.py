"""docs/manifests.md names what there is."""

from __future__ import annotations

from pathlib import Path

from bannock.mesh.facts import LABEL
from bannock.mesh.manifests.description import fields_of
from bannock.mesh.manifests.model import Build, BuildKind

_PAGE = (Path(__file__).parents[3] / "docs" / "manifests.md").read_text(encoding="utf-8")
#: Taken for compatibility, and not for use.
_UNUSED: set[str] = set()


def test_every_field_and_kind_is_explained() -> None:
    """A field without a word in the page is one that nobody finds."""
    missing = [key for _, key, _ in fields_of(Build) if f"`{key}`" not in _PAGE and key not in _UNUSED]
    assert not missing
    assert not [kind for kind in BuildKind if f"`{kind}`" not in _PAGE]
    assert f"`{LABEL}`" in _PAGE
