"""What a service's image says of its service: a label of the image, read by the mesh that it becomes a part of.

Pure. The label is public, as images are: values of secrets, and of variables whose names say that they are secret, are
not in it but in a file that is private (:mod:`bannock.mesh.withheld`). The mesh believes nothing of it that it can
find out itself: it measures the image.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.canonical import JsonValue

__all__ = ["LABEL", "ServiceFacts"]

#: The label of the image.
LABEL: Final = "dev.bannock.service"
_FORMAT: Final = 1
_BYTES_MAX: Final = 1 << 20
#: Names become parts of paths.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """A service, as its image tells it.

    Attributes:
        name: of the service.
        kind: what it is made of.
        mode: ``production`` or ``debug``.
        program: path of the measured program in the image.
        mrenclave: what it was measured as when it was made, in hexadecimal.
        mrsigner: hash of the key that signed it, likewise.
        command: what is started.
        directory: working directory.
        environment: variables of the image itself.
        local: variables of the manifest; None for a value that is withheld.
        global_: variables that the mesh sets; None where it has to.
        secrets: of the manifest, as sessions have them; those in ``withheld`` without their value.
        withheld: names of secrets whose value is withheld.
        imports: names of secrets that other services of the mesh define.
        injection_files: path and content of files that the enclave alone sees.
        volumes: encrypted volumes, as manifests have them.
    """

    name: str
    kind: str
    mode: str
    program: str
    mrenclave: str
    mrsigner: str
    command: tuple[str, ...]
    directory: str
    environment: Mapping[str, str] = field(default_factory=dict)
    local: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    global_: Mapping[str, str | None] = field(default_factory=dict)
    secrets: tuple[Mapping[str, JsonValue], ...] = field(default=(), repr=False)
    withheld: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    injection_files: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    volumes: tuple[Mapping[str, JsonValue], ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the variables that a mesh has to set."""
        return tuple(name for name, value in self.global_.items() if value is None)

    @property
    def defaults(self) -> Mapping[str, str]:
        """Values of the variables that a mesh may set."""
        return {name: value for name, value in self.global_.items() if value is not None}

    def to_label(self) -> str:
        """Write the label; the same each time."""
        document = {"version": _FORMAT, **{name: getattr(self, name) for name in self.__slots__}}
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_labels(cls, labels: Mapping[str, str], *, image: str) -> Self:
        """Read the label of an image.

        Raises:
            InputError: the image has none, or one that is malformed.
        """
        text = labels.get(LABEL)
        if text is None:
            raise InputError(
                f"the image {image} is no service: it has no label {LABEL}",
                hint="make it with sconectl apply -f service.yaml; kind image makes a service of any image",
            )
        try:
            document = json.loads(text) if len(text) <= _BYTES_MAX else None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or document.pop("version", None) != _FORMAT:
            raise _malformed(image)
        if set(document) != set(cls.__slots__) or not all(_has_form(name, document[name]) for name in document):
            raise _malformed(image)
        tuples = {name: tuple(value) for name, value in document.items() if isinstance(value, list)}
        return cls(**{**document, **tuples})


def _malformed(image: str) -> InputError:
    return InputError(
        f"the label {LABEL} of the image {image} is not one that this version understands",
        hint="make the image again: sconectl apply -f service.yaml",
    )


_TEXTS: Final = frozenset({"name", "kind", "mode", "program", "mrenclave", "mrsigner", "directory"})
_TEXT_LISTS: Final = frozenset({"command", "withheld", "imports"})
_MAPPINGS: Final = frozenset({"environment", "local", "global_"})


def _has_form(name: str, value: Any) -> bool:
    if name in _TEXTS:
        pattern = {"name": _NAME, "mrenclave": _DIGEST}.get(name)
        return isinstance(value, str) and (pattern is None or pattern.fullmatch(value) is not None)
    if name in _MAPPINGS:
        allowed = str if name == "environment" else (str, type(None))
        return isinstance(value, dict) and all(isinstance(each, allowed) for each in value.values())
    if not isinstance(value, list):
        return False
    if name in _TEXT_LISTS:
        return all(isinstance(each, str) for each in value)
    if name == "injection_files":
        return all(isinstance(each, dict) and all(isinstance(text, str) for text in each.values()) for each in value)
    return all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in value)
