"""Which layers of an application can become one with what is put on top of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.images.blobs import Scratch
from bannock.images.sconify.order import is_untouched, small_on_top
from bannock.images.writer import LayerWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.images.model import Layer


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    """Give a place for layers."""
    with Scratch() as scratch:
        yield scratch


def _layer(scratch: Scratch, *steps: Callable[[LayerWriter], None]) -> Layer:
    with LayerWriter(scratch) as writer:
        for step in steps:
            step(writer)
        return writer.finish()


def test_small_layers_that_add_something(scratch: Scratch) -> None:
    """They are counted from the top, until one is large, or takes something away."""
    small = _layer(scratch, lambda layer: layer.directory("app"), lambda layer: layer.file("app/x", b"x"))
    large = _layer(scratch, lambda layer: layer.file("app/large", bytes(2 << 20)))
    away = _layer(scratch, lambda layer: layer.whiteout("app/x"))
    assert small_on_top([small, small]) == 2
    assert small_on_top([small, large, small]) == 1
    assert small_on_top([small, small, away]) == 0
    assert small_on_top([small, away, small]) == 1
    assert small_on_top([]) == 0


def test_a_file_over_a_directory(scratch: Scratch) -> None:
    """What it hides would come back if both were in one layer."""
    below = _layer(scratch, lambda layer: layer.file("app/lib/x", b"x"))
    above = _layer(scratch, lambda layer: layer.file("app/lib", b"x"))
    assert small_on_top([below, above]) == 1


def test_layers_that_have_the_program(scratch: Scratch) -> None:
    """The launcher has to be above them."""
    beside = _layer(scratch, lambda layer: layer.file("usr/bin/python3.11-config", b"x"))
    program = _layer(scratch, lambda layer: layer.file("usr/bin/python3.11", b"x"))
    assert is_untouched([beside], "/usr/bin/python3.11")
    assert not is_untouched([beside, program], "/usr/bin/python3.11")
