"""What images say of their services, and what they withhold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError
from bannock.mesh.defaults import default_lines
from bannock.mesh.facts import LABEL, ServiceFacts
from bannock.mesh.withheld import complete, keep, place_of

if TYPE_CHECKING:
    from pathlib import Path

_FACTS = ServiceFacts(
    name="hello",
    kind="python",
    mode="production",
    program="/usr/bin/python3",
    mrenclave="ab" * 32,
    mrsigner="cd" * 32,
    command=("python3", "app.py"),
    directory="/app",
    environment={"PATH": "/usr/bin"},
    local={"EXCLAIM": "!", "DB_PASSWORD": None},
    global_={"API_USER": None, "GREETING": "hello"},
    secrets=({"name": "given", "kind": "ascii"}, {"name": "made", "kind": "ascii", "size": "10"}),
    withheld=("given",),
    imports=("OTHER",),
    injection_files=({"path": "/a", "content": "b"},),
    volumes=({"name": "data", "path": "/data"},),
)


def _labels(**changes: object) -> dict[str, str]:
    return {LABEL: json.dumps({**json.loads(_FACTS.to_label()), **changes})}


def test_label_and_back() -> None:
    """Everything comes back, and the label is the same each time."""
    assert ServiceFacts.from_labels({LABEL: _FACTS.to_label()}, image="x") == _FACTS
    assert _FACTS.required == ("API_USER",)
    assert _FACTS.defaults == {"GREETING": "hello"}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2}, {"more": 1}, {"name": 1}, {"name": "../x"}, {"mrenclave": "x/../y"}, {"command": "x"},
        {"command": [1]}, {"environment": {"A": None}}, {"local": {"A": 1}}, {"secrets": [{"kind": "ascii"}]},
        {"injection_files": [{"path": 1}]}, {"volumes": {}},
    ],
)  # fmt: skip
def test_labels_of_others_are_refused(changes: dict[str, object]) -> None:
    """A label is anybody's who can push: no form of it does harm."""
    with pytest.raises(InputError, match="is not one that this version understands"):
        ServiceFacts.from_labels(_labels(**changes), image="x")


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "[" * 100_000, '{"version": 1}', '"' + "x" * (2 << 20) + '"'])
def test_what_is_no_label_is_refused(text: str) -> None:
    """Nor does any text."""
    with pytest.raises(InputError):
        ServiceFacts.from_labels({LABEL: text}, image="x")


def test_image_without_label_is_told() -> None:
    """With what makes one."""
    with pytest.raises(InputError, match="the image x is no service") as refused:
        ServiceFacts.from_labels({}, image="x")
    assert "sconectl apply" in str(refused.value.hint)


def test_withheld_values_come_back_on_this_machine_alone(private_path: Path) -> None:
    """The file is the user's alone; without it the values stay unknown."""
    assert complete(private_path, _FACTS) == _FACTS
    keep(private_path, _FACTS, variables={"DB_PASSWORD": "p"}, secrets={"given": "s"})
    place = place_of(private_path, _FACTS)
    assert place.stat().st_mode & 0o777 == 0o600
    whole = complete(private_path, _FACTS)
    assert whole.local == {"EXCLAIM": "!", "DB_PASSWORD": "p"}
    assert whole.secrets[0] == {"name": "given", "kind": "ascii", "value": "s"}
    assert whole.withheld == ()
    assert complete(private_path, replace(_FACTS, mrenclave="00" * 32)).withheld == ("given",)
    keep(private_path, _FACTS, variables={}, secrets={})
    assert not place.exists()


def test_damaged_file_is_told(private_path: Path) -> None:
    """It is not guessed at."""
    keep(private_path, _FACTS, variables={"DB_PASSWORD": "p"}, secrets={})
    place_of(private_path, _FACTS).write_text("{}")
    with pytest.raises(InputError, match="is not what sconectl wrote"):
        complete(private_path, _FACTS)


def test_defaults_are_told() -> None:
    """What has to be set, what may be, and what is fixed; no value that is withheld."""
    assert list(default_lines("hello", _FACTS.global_, _FACTS.local)) == [
        "service hello:",
        "  a mesh has to set:",
        "    API_USER",
        "  a mesh may set:",
        "    GREETING=hello",
        "  the same in every mesh:",
        "    EXCLAIM=!",
        "    DB_PASSWORD",
    ]
