"""Addresses have one text form, and everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.net.address import Address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cas", Address("cas", 18765)),
        ("cas.example.org:8081", Address("cas.example.org", 8081)),
        ("10.0.0.1:0", Address("10.0.0.1", 0)),
        ("[::1]", Address("::1", 18765)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_addresses_are_read(text: str, expected: Address) -> None:
    """Host, host and port, and IPv6 in brackets are read; a missing port is the default."""
    assert Address.parse(text, default_port=18765) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "cas:",
        "cas:65536",
        "cas:-1",
        "::1",
        "[::1",
        "[::1]8",
        "a b",
        "u@h",
        "h/p",
        "cas:٣",
        "x." * 127,
        "a..b",
        "x" * 64,
    ],
)
def test_other_text_is_refused(text: str) -> None:
    """What is not an address is refused by our error."""
    with pytest.raises(InputError, match="an address is HOST or HOST:PORT"):
        Address.parse(text, default_port=1)


@given(st.text(max_size=300))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text makes the parser raise anything else, and what it reads it writes and reads again."""
    try:
        address = Address.parse(text, default_port=1)
    except InputError:
        return
    assert Address.parse(str(address), default_port=2) == address
