"""The JSON Schema for editors says what the reader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from bannock.mesh.manifests.schema import KINDS, schema_text
from tests.unit.mesh.manifests import MESH, SERVICE

_SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


@pytest.mark.parametrize("kind", KINDS)
def test_published_schema_is_that_of_the_code(kind: str) -> None:
    """``sconectl schema KIND > docs/schemas/KIND.json`` makes it anew."""
    assert (_SCHEMAS / f"{kind}.json").read_text(encoding="utf-8") == schema_text(kind)


def _valid(text: str, kind: str) -> bool:
    document: Any = yaml.safe_load(text)
    return bool(jsonschema_rs.validator_for(json.loads(schema_text(kind))).is_valid(document))


def test_editors_accept_what_the_reader_accepts() -> None:
    """Numbers and truth values where text is asked for, too."""
    assert _valid(SERVICE.replace("{{HOST}}:{{PORT}}", "host"), "genservice")
    assert _valid(MESH, "mesh")


def test_editors_mark_what_the_reader_refuses() -> None:
    """A typo, a word that is none, a name that cannot be."""
    text = SERVICE.replace("{{HOST}}:{{PORT}}", "host")
    assert not _valid(text.replace("pwd:", "pdw:"), "genservice")
    assert not _valid(text.replace("kind: python", "kind: pythom"), "genservice")
    assert not _valid(MESH.replace("mode: EncryptedManifest", "mode: Encrypted"), "mesh")
