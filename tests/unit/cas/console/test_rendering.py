"""Texts of others on a page."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from bannock.cas.console.rendering import link_to, plain, render


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("shop/web", "shop/web"),
        ("ä 漢字 🥯", "ä 漢字 🥯"),
        ("a\u202eb", "a\\u{202e}b"),
        ("a\u200bb\u2066c\ufeff", "a\\u{200b}b\\u{2066}c\\u{feff}"),
        ("a\x00b\x1b[31m", "a\\u{0}b\\u{1b}[31m"),
        ("\ud800", "\\u{d800}"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_what_is_not_seen_is_written_out(text: str, shown: str) -> None:
    """Everything else stays."""
    assert plain(text) == shown


@given(st.text(st.characters()))
def test_no_text_turns_the_page_around(text: str) -> None:
    """Nor is there anything in a page that nobody sees."""
    shown = plain(text)
    assert isinstance(shown, str)
    assert all(each == "\n" or not unicodedata.category(each).startswith("C") for each in shown)
    shown.encode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_stays_in_its_address(name: str) -> None:
    """It starts no query, and ends no attribute."""
    link = link_to("sessions", name)
    assert link.startswith("/console/sessions/")
    assert not set(link) & set("?#\"'<> \\")
    assert link.isascii()


def test_what_a_template_lacks_is_an_error() -> None:
    """And not an empty place."""
    with pytest.raises(UndefinedError):
        render("refusal.html")
