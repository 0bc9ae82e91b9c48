"""What the room shows to others, and what it costs to come in."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bannock.policy
from bannock.errors import InputError
from bannock.values import KeyHash


@pytest.mark.parametrize("name", bannock.policy.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Names load on first use, so each is tried."""
    assert getattr(bannock.policy, name) is not None


def test_other_names_are_not_there() -> None:
    """A name that the room does not have is a plain AttributeError."""
    with pytest.raises(AttributeError, match="nothing"):
        bannock.policy.nothing  # noqa: B018 - that is the test


def test_a_runtime_needs_no_session_language() -> None:
    """Configuration, claims and decisions load neither pydantic nor PyYAML nor cryptography."""
    program = (
        "import sys, bannock.policy.configuration, bannock.policy.claims\n"
        "import bannock.policy.decide, bannock.policy.resolve\n"
        "sys.exit(any(name in sys.modules for name in ('pydantic', 'yaml', 'cryptography')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1",
        "46YyxrywJ8PFRruWX8YLxa9q4axxYJgTbA81tv7NBcJfn43DQt",
        "3AC5RSbL73aVVf98m2UMTN2BFsQv6eQufi5BGBxrG8awxP4ygQ",
        "4sEY84YhUKT7Q7m4qUj2pmQMxFvZK5XpDyJ3QR6mETVRDkyren",
    ],
)
def test_key_hashes_of_scone_are_read(text: str) -> None:
    """All key hashes in the public session language reference, and not one with a character changed."""
    key_hash = KeyHash.from_base58(text)
    assert KeyHash.from_base58(str(key_hash)) == key_hash
    with pytest.raises(InputError, match="check sum"):
        KeyHash.from_base58(text[:-1] + ("2" if text[-1] == "1" else "1"))


@pytest.mark.parametrize("text", ["", "0", "l", "1" * 31, "z" * 64, "z" * 100_000, "ä"])
def test_other_text_is_no_key_hash(text: str) -> None:
    """Wrong characters and wrong sizes are refused, long text without decoding it."""
    with pytest.raises(InputError):
        KeyHash.from_base58(text)
