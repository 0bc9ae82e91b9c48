"""How the fields of a manifest are described: once, for its reader, its JSON Schema and its help.

Pure. A record is a frozen dataclass whose fields carry what is known of them (:func:`described`); a kind reads a node
into a value and gives the schema of it. A reader that meets a defect notes an issue and goes on, so that a person gets
all of them at once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from bannock.errors import InputError, Issue
from bannock.policy.documents import Mapping, Node, Scalar, Sequence, found, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from re import Pattern

    from bannock.policy.canonical import JsonValue

__all__ = ["DEFECT", "Described", "Issues", "Kind", "ListOf", "Record", "Text", "Truth", "described", "fields_of"]

_METADATA: Final = "described"
#: What a kind gives in place of a value that has an issue.
DEFECT: Final = object()
#: Forms in which an editor may meet text in YAML: ``value: 443`` is text for us.
_TEXT_FORMS: Final[JsonValue] = ["string", "number", "boolean"]
_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})


class Kind(Protocol):
    """What a field may hold."""

    def read(self, node: Node, path: str, issues: Issues) -> Any:
        """Read the value, or note issues and give :data:`DEFECT`."""
        ...  # pragma: no cover

    def schema(self) -> dict[str, JsonValue]:
        """Give its JSON Schema."""
        ...  # pragma: no cover


class Issues:
    """The issues of a document, in the order in which they were found."""

    def __init__(self) -> None:
        self.found: list[Issue] = []

    def note(self, node: Node, path: str, message: str, hint: str | None = None) -> object:
        """Note an issue, and give :data:`DEFECT`."""
        self.found.append(Issue(line=node.line, column=node.column, path=path, message=message, hint=hint))
        return DEFECT


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of a field.

    Attributes:
        kind: what it may hold.
        about: what it is for, in one sentence.
        key: what documents call it.
        required: whether it has to be there.
        example: a value as documents have it.
        secret: whether its value is shown nowhere.
    """

    kind: Kind
    about: str
    key: str | None
    required: bool
    example: str | None = None
    secret: bool = False


def described(
    kind: Kind,
    about: str,
    *,
    key: str | None = None,
    example: str | None = None,
    default: Any = dataclasses.MISSING,
    secret: bool = False,
) -> Any:
    """Describe a field of a record; one without a default is required."""
    required = default is dataclasses.MISSING
    known = Described(kind=kind, about=about, key=key, required=required, example=example, secret=secret)
    metadata = {_METADATA: known}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


def fields_of(record: type[Any]) -> Iterator[tuple[str, str, Described]]:
    """Yield the name, the key and the description of each field of a record."""
    for each in dataclasses.fields(record):
        known: Described | None = each.metadata.get(_METADATA)
        if known is not None:
            yield each.name, known.key or each.name, known


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and not node.quoted and node.text in {"", "~", "null"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text, of a form where there is one.

    Attributes:
        what: what to say is expected.
        pattern: what all of it has to match.
        choices: the words that it may be.
        convert: makes the value of it; it raises an InputError for what it does not take.
        hidden: whether what was found is not shown.
    """

    what: str = "text"
    pattern: Pattern[str] | None = None
    choices: tuple[str, ...] = ()
    convert: Callable[[str], Any] | None = None
    hidden: bool = False

    def read(self, node: Node, path: str, issues: Issues) -> Any:
        """Read text."""
        what = f"one of {', '.join(self.choices)}" if self.choices else self.what
        if not isinstance(node, Scalar):
            return issues.note(node, path, f"expected {what}, found {found(node)}")
        text = node.text
        hint = nearest(text, self.choices) if self.choices else _shell_variable(text)
        wrong = (self.choices and text not in self.choices) or (self.pattern and not self.pattern.fullmatch(text))
        if wrong or "\0" in text:
            seen = "" if self.hidden else f", found {found(node)}"
            return issues.note(node, path, f"expected {what}{seen}", hint)
        if self.convert is None:
            return text
        try:
            return self.convert(text)
        except InputError as error:
            return issues.note(node, path, error.message, hint or error.hint)

    def schema(self) -> dict[str, JsonValue]:
        """Give its JSON Schema."""
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        if self.pattern is not None:
            return {"type": _TEXT_FORMS, "pattern": f"^(?:{self.pattern.pattern})$"}
        return {"type": _TEXT_FORMS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Yes or no."""

    def read(self, node: Node, path: str, issues: Issues) -> Any:
        """Read a truth value."""
        if not isinstance(node, Scalar) or node.text.lower() not in _TRUE | _FALSE:
            return issues.note(node, path, f"expected true or false, found {found(node)}")
        return node.text.lower() in _TRUE

    def schema(self) -> dict[str, JsonValue]:
        """Give its JSON Schema."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; one item stands for a list of it, and text of several items is cut at ``separator``."""

    item: Kind
    separator: str | None = field(default=None, kw_only=True)
    least: int = field(default=0, kw_only=True)

    def read(self, node: Node, path: str, issues: Issues) -> Any:
        """Read a tuple."""
        items = node.items if isinstance(node, Sequence) else self._split(node)
        if len(items) < self.least:
            return issues.note(node, path, f"expected at least {self.least} entry, found none")
        indexed = isinstance(node, Sequence)
        values = [
            self.item.read(item, f"{path}[{index}]" if indexed else path, issues) for index, item in enumerate(items)
        ]
        return DEFECT if any(value is DEFECT for value in values) else tuple(values)

    def schema(self) -> dict[str, JsonValue]:
        """Give its JSON Schema."""
        listed: dict[str, JsonValue] = {"type": "array", "items": self.item.schema()}
        if self.least:
            listed["minItems"] = self.least
        return listed if self.separator is None else {"anyOf": [{"type": "string"}, listed]}

    def _split(self, node: Node) -> list[Node]:
        if self.separator is None or not isinstance(node, Scalar):
            return [node]
        return [
            Scalar(line=node.line, column=node.column, text=word.strip(), source=word.strip())
            for word in node.text.split(self.separator)
            if word.strip()
        ]


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping of known keys: a described dataclass.

    Attributes:
        of: the dataclass.
        slips: what users write for a key.
    """

    of: type[Any]

    slips: ClassVar[dict[str, str]] = {"env": "environment", "cmd": "command", "requirement": "requirements"}

    def read(self, node: Node, path: str, issues: Issues) -> Any:
        """Read the dataclass."""
        if not isinstance(node, Mapping):
            return issues.note(node, path, f"expected a mapping, found {found(node)}")
        self._note_unknown(node, path, issues)
        values: dict[str, Any] = {}
        defects = False
        for name, key, about in fields_of(self.of):
            below, where = node.get(key), _below(path, key)
            if below is not None and not _is_nothing(below):
                values[name] = about.kind.read(below, where, issues)
                defects = defects or values[name] is DEFECT
            elif about.required:
                missing = f"{key} is missing" if below is None else f"{key} is empty"
                issues.note(below or node, where if below else path, missing)
                defects = True
        return DEFECT if defects else self.of(**values)

    def _note_unknown(self, node: Mapping, path: str, issues: Issues) -> None:
        known = [key for _, key, _ in fields_of(self.of)]
        slips = {slip: meant for slip, meant in self.slips.items() if meant in known}
        for key, _ in node.pairs:
            if key.text not in known:
                message = f"unknown key {key.text[:60]!r}, allowed: {', '.join(known)}"
                issues.note(key, _below(path, key.text), message, nearest(key.text, known, slips))

    def schema(self) -> dict[str, JsonValue]:
        """Give its JSON Schema."""
        properties: dict[str, JsonValue] = {}
        required: list[JsonValue] = []
        for _, key, about in fields_of(self.of):
            schema: dict[str, JsonValue] = {"description": about.about, **about.kind.schema()}
            if not about.required and isinstance(schema.get("type"), str):
                schema["type"] = [schema["type"], "null"]
                if "enum" in schema and isinstance(schema["enum"], list):
                    schema["enum"] = [*schema["enum"], None]
            elif not about.required and isinstance(schema.get("type"), list):
                schema["type"] = [*_TEXT_FORMS, "null"]  # type: ignore[misc]
            if about.example is not None:
                schema["examples"] = [about.example]
            properties[key] = schema
            if about.required:
                required.append(key)
        closed: dict[str, JsonValue] = {"type": "object", "additionalProperties": False, "properties": properties}
        return {**closed, "required": required} if required else closed


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shell_variable(text: str) -> str | None:
    if "$" in text and "$$SCONE::" not in text:
        return "variables of the shell are put in before, with envsubst"
    return None
