"""Canonical JSON against the examples of RFC 8785."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.policy import canonical_json
from bannock.policy.canonical import JsonValue  # noqa: TC001 - hypothesis reads the annotation

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def test_keys_are_sorted_by_utf16_code_units() -> None:
    """The example of RFC 8785 section 3.2.3; the emoji sorts before U+FB33, as its surrogates do."""
    given_object = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    expected = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical_json(dict(given_object)))) == expected


def test_strings_are_escaped_as_the_standard_says() -> None:
    """The string of the example in RFC 8785 section 3.2.2, byte for byte."""
    text = '\u20ac$\u000f\nA\'B"\\\\"/'
    assert canonical_json({"string": text, "literals": [None, True, False]}) == (
        b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@given(_values)
def test_the_value_is_kept(value: JsonValue) -> None:
    """Reading canonical JSON gives the value that was written."""
    assert json.loads(canonical_json(value)) == value


def test_what_is_not_exact_everywhere_is_refused() -> None:
    """A number beyond 2**53 and text with a lone surrogate have no canonical form."""
    with pytest.raises(InputError):
        canonical_json(2**53)
    with pytest.raises(InputError):
        canonical_json("\ud800")
