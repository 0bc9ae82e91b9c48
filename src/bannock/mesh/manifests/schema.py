"""The JSON Schema of manifests, for editors: made of the description that reads them. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from bannock.mesh.manifests.description import Record
from bannock.mesh.manifests.model import MeshManifest, ServiceManifest

if TYPE_CHECKING:
    from bannock.policy.canonical import JsonValue

__all__ = ["KINDS", "schema_text"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ABOUT: Final = {
    "genservice": ("manifest of a service", ServiceManifest),
    "mesh": ("manifest of a mesh of services", MeshManifest),
}
KINDS: Final = tuple(_ABOUT)


def schema_text(kind: str) -> str:
    """Give the schema of manifests of a kind, as text of a file."""
    title, model = _ABOUT[kind]
    schema: dict[str, JsonValue] = {"$schema": _DIALECT, "title": title, **Record(model).schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
