"""Changes of session documents as texts, and what two documents differ in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError, PolicySyntaxError
from bannock.policy._document import compose, plain
from bannock.policy.editing import differences, entry, with_entry

DOCUMENTS = [
    "name: a\nversion: '0.3'\n# a comment: ü\nx: [1, {name: q}]\npredecessor: ~\n",
    "# first\n---\n  name: ü€😀\n  predecessor:\n  version: 3\n",
    "{name: a, b: {name: x, predecessor: y}}",
    "{}",
    "name: |\n  abc\n  def\nv: 1\n",
    "v: 1\nname: abc # trailing",
    '{"a": "\\"", "name": "x"}',
    "version: 1\nservices:\n  - name: inner\n    predecessor: no\n",
]


@pytest.mark.parametrize("key", ["name", "predecessor"])
@pytest.mark.parametrize("text", DOCUMENTS)
def test_one_entry_changes_and_no_other(text: str, key: str) -> None:
    """The value is the new one afterwards, everything else says what it said, and comments stay."""
    changed = with_entry(text, key, 'new "value": # $')
    before, after = plain(compose(text)), plain(compose(changed))
    assert isinstance(before, dict)
    assert after == {**before, key: 'new "value": # $'}
    assert changed.count("#") >= text.count("#")
    assert entry(changed, key) == 'new "value": # $'


@given(value=st.text(st.characters(exclude_categories=["Cs", "Cc"])), text=st.sampled_from(DOCUMENTS))
def test_any_text_is_a_value(value: str, text: str) -> None:
    """What is put in comes out, and brings in no structure."""
    before = plain(compose(text))
    assert isinstance(before, dict)
    assert plain(compose(with_entry(text, "name", value))) == {**before, "name": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("predecessor: ~\n", None),
        ("predecessor:\n", None),
        ("predecessor: '~'\n", None),
        ("a: 1", None),
        ("predecessor: 1", "1"),
    ],
)
def test_null_is_no_value(text: str, value: str | None) -> None:
    """An entry that is null is as one that is not there."""
    assert entry(text, "predecessor") == value


@pytest.mark.parametrize("text", ["[]", "abc", "", "a: [", "[" * 100_000, "a: 1\n---\nb: 2\n"])
def test_other_texts_are_refused(text: str) -> None:
    """What is not one mapping, or too deep, is an error of ours."""
    with pytest.raises((InputError, PolicySyntaxError)):
        with_entry(text, "name", "x")


def test_differences_name_places_and_no_secrets() -> None:
    """Each place is named; values are shown where they cannot be secret, and nowhere else."""
    ours = "{name: a, secrets: [{name: s, value: hunter2}], services: [{mrenclaves: [aa], command: one}], only: 1}"
    theirs = "{name: b, secrets: [{name: s, value: swordfish}], services: [{mrenclaves: [bb], command: two}], more: 1}"
    assert differences(ours, theirs) == [
        'name: expected "a", found "b"',
        "secrets[0].value: differs",
        'services[0].mrenclaves[0]: expected "aa", found "bb"',
        "services[0].command: differs",
        "only: is not in the session of the CAS",
        "more: is only in the session of the CAS",
    ]
    assert differences(ours, ours.replace("{name: a,", "{predecessor: x, name: a,"), ignored=frozenset()) != []
    assert differences(ours, "{predecessor: x, " + ours[1:], ignored=frozenset({"predecessor"})) == []


def test_differences_are_bounded() -> None:
    """Thousands of differences are not told one by one."""
    ours, theirs = (str(dict.fromkeys(map(str, range(1000)), word)) for word in ("a", "b"))
    assert len(differences(ours, theirs)) == 21
