"""The session hash: every change shows, no mere difference of layout does."""

from __future__ import annotations

import random  # noqa: TC003 - hypothesis reads the annotation
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import PolicySyntaxError
from bannock.policy import parse_session, session_hash
from tests.unit.policy.documents import TEMPLATE, VARIABLES


def _hash(text: str) -> str:
    return session_hash(parse_session(text, variables=VARIABLES))


def _shuffled(value: Any, source: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {key: _shuffled(value[key], source) for key in keys}
    return [_shuffled(item, source) for item in value] if isinstance(value, list) else value


def test_vector() -> None:
    """SHA-256 over ``{"name":"a","version":"0.3"}``, computed by another tool (sha256sum)."""
    expected = "34080384336068a566c1ff1d9be031b7cd7bfa1a79b97dcd54a6ff5bb0500ec5"
    assert _hash('version: "0.3"\nname: a\n') == expected


@given(st.randoms(use_true_random=False), st.booleans())
def test_order_and_layout_do_not_matter(source: random.Random, flow: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Sorted otherwise, in flow style, without comments: the same session."""
    tree = yaml.load(TEMPLATE, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes text alone
    assert _hash(yaml.safe_dump(_shuffled(tree, source), sort_keys=False, default_flow_style=flow)) == _hash(TEMPLATE)


def test_a_comment_does_not_matter() -> None:
    """Comments are not part of a session."""
    assert _hash(f"# nothing\n{TEMPLATE}") == _hash(TEMPLATE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pwd: /", "pwd: /tmp"),
        ("0.3.11", "0.3.10"),
        ("copy_demo -a", "copy_demo -r"),
        ("GREETING", "GREETINGS"),
        ("[CREATOR]", "[ANY]"),
        ("0o400", "0o0400"),
        ("kind: ascii", "kind: binary"),
        ("kind: ascii", "kind: ascii\n    size: 20"),
        ("  update: [CREATOR]", ""),
        ("$INPUT_FSPF_TAG", "8d8fbe332fb9c893020be791ccd3e8a8"),
        ("      - name: encrypted-output-files\n        path: /encryptedOutputs\n", ""),
    ],
)
def test_every_change_shows(old: str, new: str) -> None:
    """What is added, changed or left out changes the hash, even where it only spells out a default."""
    assert old in TEMPLATE
    text = TEMPLATE.replace(old, new)
    try:
        changed = _hash(text)
    except PolicySyntaxError:
        text = text.replace("$$SCONE::greeting$$", "$$SCONE::greeting:hex$$")
        changed = _hash(text)
    assert changed != _hash(TEMPLATE)


def test_the_order_of_a_list_shows() -> None:
    """Lists have an order."""
    text = 'name: a\nversion: "0.3"\naccess_policy: {read: [%s, %s]}'
    keys = ("3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1", "CREATOR")
    assert _hash(text % keys) != _hash(text % keys[::-1])


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), st.data())
def test_every_variable_shows(value: str, data: st.DataObject) -> None:
    """Two values of a variable are two sessions."""
    other = data.draw(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1).filter(value.__ne__))
    text = 'name: a\nversion: "0.3"\nsecrets: [{name: s, kind: ascii, value: $V}]'
    first, second = (session_hash(parse_session(text, variables={"V": one})) for one in (value, other))
    assert first != second
