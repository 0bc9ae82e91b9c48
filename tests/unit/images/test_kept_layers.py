"""Layers that are kept for the next time, and taken only as they were."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from bannock.images.kept_layers import KeptLayers
from bannock.images.writer import LayerWriter

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.blobs import Scratch
    from bannock.images.model import Layer


def _made(scratch: Scratch, content: bytes = b"content") -> Layer:
    with LayerWriter(scratch) as writer:
        writer.file("/app/file", content)
        return writer.finish()


def test_a_layer_is_there_the_next_time(scratch: Scratch, tmp_path: Path) -> None:
    """Its entries are listed once, and its bytes are those that were kept."""
    layer = KeptLayers(tmp_path / "kept").keep(_made(scratch))
    kept = KeptLayers(tmp_path / "kept")
    found = kept.find(layer.diff_id, scratch)
    assert found is not None
    assert found.unpacked().read() == layer.unpacked().read()
    assert kept.find(layer.diff_id, scratch) is found
    assert [entry.path for entry in found.entries()] == ["app/file"]
    assert kept.find("sha256:" + "0" * 64, scratch) is None


def test_a_layer_that_was_changed_is_not_taken(scratch: Scratch, tmp_path: Path) -> None:
    """Nor one whose notes are others, or that is not there any more."""
    layer = KeptLayers(tmp_path / "kept").keep(_made(scratch))
    path = next((tmp_path / "kept").glob("*.tar"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, (1, 1))
    assert KeptLayers(tmp_path / "kept").find(layer.diff_id, scratch) is None
    path.unlink()
    assert KeptLayers(tmp_path / "kept").find(layer.diff_id, scratch) is None
    path.with_suffix(".json").write_text("[")
    assert KeptLayers(tmp_path / "kept").find(layer.diff_id, scratch) is None


def test_what_was_not_used_for_long_goes(scratch: Scratch, tmp_path: Path) -> None:
    """After two weeks."""
    KeptLayers(tmp_path / "kept").keep(_made(scratch))
    notes = next((tmp_path / "kept").glob("*.json"))
    old = time.time() - 15 * 24 * 3600
    os.utime(notes, (old, old))
    KeptLayers(tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
