"""docs/formats/las.md says what a client of a LAS and a verifier have to do; what it says is what is done."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Final

import pytest

from bannock.evidence.attester import SIGNATURE_CONTEXT, key_binding
from bannock.evidence.envelope import FORMAT
from bannock.evidence.las_client import asking_name
from bannock.evidence.quotes import SgxQuote, SimQuote, SnpQuote, TdxQuote, TpmQuote

_TEXT: Final = (Path(__file__).parents[3] / "docs" / "formats" / "las.md").read_text(encoding="utf-8")
_WORDS: Final = " ".join(_TEXT.split())


def test_names_and_bindings() -> None:
    """Each begins with its own words."""
    data = bytes(range(64))
    asked = hashlib.sha256(b"bannock asks for a report 1\0" + data).digest()
    assert asking_name(data) == base64.urlsafe_b64encode(asked)[:15].decode()
    assert key_binding(b"key") == hashlib.sha512(b"bannock attester key 1\0key").digest()
    assert SIGNATURE_CONTEXT == b"bannock report 2\0"
    for words in ("bannock asks for a report 1", "bannock attester key 1", "bannock report 2", FORMAT):
        assert f"`{words}`" in _WORDS


@pytest.mark.parametrize("kind", [SimQuote, SgxQuote, TdxQuote, SnpQuote, TpmQuote])
def test_parts_of_quotes(kind: type[SimQuote | SgxQuote | TdxQuote | SnpQuote | TpmQuote]) -> None:
    """Every part of every platform, in its order."""
    row = next(line for line in _TEXT.splitlines() if line.startswith(f"| `{kind.platform}` |"))
    parts = re.findall(r"`(\w+)`", row.split("|")[2])
    assert parts == [each.name for each in dataclasses.fields(kind)]
