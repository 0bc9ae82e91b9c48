"""Variables of session templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.policy._document import compose, plain
from bannock.policy._variables import substitute
from tests.unit.policy.documents import TEMPLATE, issues_of, only_issue


def _replaced(text: str, **variables: str) -> object:
    root = compose(text)
    assert substitute(root, variables) == []
    return plain(root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A", "one"),
        ("${A}", "one"),
        ("x${A}y", "xoney"),
        ("$A$A", "oneone"),
        ("$A/$B", "one/two"),
        ("$$A", "$$A"),
        ("$$SCONE::A$$", "$$SCONE::A$$"),
        ("$$SCONE::s$$$A", "$$SCONE::s$$one"),
        ("cost 5$ each", "cost 5$ each"),
        ("^a$", "^a$"),
        ("$1", "$1"),
        ("'$A'", "one"),
    ],
)
def test_replacement(text: str, expected: str) -> None:
    """Names after a dollar sign are replaced; doubled dollar signs and placeholders stay."""
    assert _replaced(f"k: {text}", A="one", B="two") == {"k": expected}


def test_a_missing_variable_is_named_with_its_place() -> None:
    """The message is the one that scripts of users look for."""
    issue = only_issue('version: "0.3"\n\nname: $SESSION\n')
    assert str(issue) == "name: Value for variable $SESSION is missing at line 3 column 7"


def test_all_missing_variables_are_reported_once_each() -> None:
    """One run names them all, and a value that is missing is not also called malformed."""
    messages = [issue.message for issue in issues_of(TEMPLATE)]
    names = ["SESSION", "MRENCLAVE", "INPUT_FSPF_KEY", "INPUT_FSPF_TAG"]
    assert messages == [f"Value for variable ${name} is missing" for name in names]


def test_an_open_brace_is_an_issue() -> None:
    """``${`` that does not end in a name and a brace is a slip, not text."""
    assert "${" in only_issue('version: "0.3"\nname: ${SESSION').message


def test_a_key_is_no_place_for_a_variable() -> None:
    """Which part of a session is meant is the template's to say, not its caller's."""
    issue = only_issue('version: "0.3"\nname: a\n$A: b', {"A": "predecessor"})
    assert (issue.line, issue.message) == (3, "a variable cannot be in a key, only in a value")


def test_bytes_that_are_no_text_are_an_issue() -> None:
    """Environment values may hold bytes that Python shows as lone surrogates; a session never does."""
    assert "not Unicode" in only_issue('version: "0.3"\nname: $A', {"A": "\udcff"}).message


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_a_value_brings_in_no_structure(value: str) -> None:
    """Whatever a value holds, it ends up inside the one text it was put in."""
    assert _replaced("a: $A\nb: [x, $A]", A=value) == {"a": value, "b": ["x", value]}


def test_a_value_is_not_replaced_again() -> None:
    """Neither a variable in a value nor an alias leads to a second replacement."""
    assert _replaced("a: &a $A\nb: *a", A="$B", B="no") == {"a": "$B", "b": "$B"}


def test_values_are_bounded_in_sum() -> None:
    """A value that is put in many times is counted each time."""
    text = "a: [" + "$A, " * 100 + "]"
    assert any(
        "larger" in issue.message or "more than" in issue.message for issue in issues_of(text, {"A": "x" * 50_000})
    )
