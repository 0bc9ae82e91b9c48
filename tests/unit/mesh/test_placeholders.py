"""Values that a mesh puts into manifests."""

from __future__ import annotations

import pytest

from bannock.errors import InputError
from bannock.mesh.manifests.placeholders import fill, fill_all, hidden, names_in


def test_values_are_put_in_once() -> None:
    """A value brings in no further placeholder."""
    assert fill("{{A}}-{{B}}-{{A}}", {"A": "{{B}}", "B": "b"}, where="x") == "{{B}}-b-{{B}}"
    assert names_in("{{A}}-{{B}}-{{A}} {{ no }} {one}") == ("A", "B")


def test_structures_are_filled() -> None:
    """Text in lists and mappings, and nothing else."""
    assert fill_all({"k": ["{{A}}", 1]}, {"A": "x"}, where="x") == {"k": ["x", 1]}


def test_missing_value_is_told() -> None:
    """With the nearest one that there is."""
    with pytest.raises(InputError, match=r"file /a asks for the value \{\{HOSTS\}\}") as refused:
        fill("{{HOSTS}}", {"HOST": "h"}, where="file /a")
    assert refused.value.hint == "did you mean HOST?"


def test_hiding_moves_nothing() -> None:
    """Places in a document stay what they are."""
    assert len(hidden("a: {{NAME}} b")) == len("a: {{NAME}} b")
