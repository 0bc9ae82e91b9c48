"""Parameters of charts: what a user sets, and what is refused."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bannock.charts.names import LABEL_MAX, dns_label
from bannock.charts.parameters import Parameter, schema_text, table, values_text, with_defaults
from bannock.errors import InputError

_PARAMETERS = [
    Parameter(path="count", default=1, about="how many"),
    Parameter(path="on", default=False, about="whether"),
    Parameter(path="name", default="", about="a text"),
    Parameter(path="kind", default="a", about="a word", choices=("a", "b")),
    Parameter(path="secrets", default=[], about="a list"),
    Parameter(path="labels", default={}, about="a mapping"),
    Parameter(path="one.two.three", default="x", about="deep"),
]


def _set(*settings: str) -> object:
    return yaml.safe_load(values_text(with_defaults(_PARAMETERS, settings)))


def test_values() -> None:
    """The file has each parameter at its place, with what it is."""
    assert _set() == {
        "count": 1, "on": False, "name": "", "kind": "a", "secrets": [], "labels": {}, "one": {"two": {"three": "x"}},
    }  # fmt: skip
    assert "# a word: a, b\nkind:" in values_text(_PARAMETERS)
    assert "| `one.two.three` | deep |" in table(_PARAMETERS)


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("count=5", ["count"], 5),
        ("on=true", ["on"], True),
        ("name=5", ["name"], "5"),
        ("name=a=b", ["name"], "a=b"),
        ("kind=b", ["kind"], "b"),
        ("one.two.three=true", ["one", "two", "three"], "true"),
        ("secrets[0].name=my-secret", ["secrets", 0, "name"], "my-secret"),
        ("secrets[0][0]=1", ["secrets", 0, 0], 1),
        ("labels.team=x", ["labels", "team"], "x"),
        ("labels.deep[0].n=3", ["labels", "deep", 0, "n"], 3),
    ],
)
def test_settings(setting: str, path: list[str | int], value: object) -> None:
    """A path leads into parameters, also into what is not there yet; values are read as helm reads them."""
    found: object = _set(setting)
    for step in path:
        found = found[step]  # type: ignore[index]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("count", "PARAMETER=VALUE"),
        ("=1", "PARAMETER=VALUE"),
        ("cuont=1", "no parameter cuont"),
        ("counts=1", "no parameter counts"),
        ("one=1", "no parameter one"),
        ("count=many", "expected int"),
        ("on=1", "expected bool"),
        ("kind=c", "expected a or b"),
        ("secrets[1]=x", "no element 1"),
        ("count[0]=x", "no element 0"),
        ("name.x=x", "in no mapping"),
        ("labels.a b=x", "cannot be read at"),
        ("secrets[0]x=1", "cannot be read at"),
        ("secrets[]=1", "cannot be read at"),
    ],
)
def test_wrong_settings(setting: str, message: str) -> None:
    """Each is refused with what was expected."""
    with pytest.raises(InputError, match=message):
        _set(setting)


def test_schema() -> None:
    """The schema knows every name, and takes no other."""
    schema = json.loads(schema_text(_PARAMETERS))
    assert schema["properties"]["kind"]["enum"] == ["a", "b"]
    assert schema["properties"]["one"]["properties"]["two"]["properties"]["three"]["type"] == "string"
    assert schema["additionalProperties"] is False


@given(st.text(max_size=200))
def test_names(text: str) -> None:
    """Whatever the name is, what comes out is one of Kubernetes, or an error says that it cannot be."""
    try:
        label = dns_label(text, "the service")
    except InputError:
        assert not any(character.isascii() and character.isalnum() for character in text)
        return
    assert 0 < len(label) <= LABEL_MAX
    assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert label[0] != "-" != label[-1]
