"""Session documents as trees of text with places: YAML without its types, tags and surprises.

Pure. Every scalar stays text, so that hexadecimal digits are never read as a number. Depth, size and the growth
by aliases are bounded while the tree is built, and it is built without recursion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import yaml

from bannock.errors import InputError, Issue, PolicySyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Mapping", "Node", "Scalar", "Sequence", "compose", "keys", "plain", "repeated_keys", "scalars", "tree"]

#: Real sessions have some kilobytes; certificates and configuration files inside them need room.
DOCUMENT_BYTES_MAX: Final = 1024 * 1024
#: The language nests nine deep at most, governance rules aside.
DEPTH_MAX: Final = 40
#: Characters after aliases have been followed: what "billion laughs" would make of a few lines.
EXPANDED_MAX: Final = 2 * DOCUMENT_BYTES_MAX
#: What a value counts for in it besides its text, so that there are at most 65,536 of them.
_NODE_WEIGHT: Final = 32

_Loader: Final[Any] = getattr(yaml, "CLoader", yaml.Loader)
_TEXT_TAGS: Final = frozenset({None, "!", "tag:yaml.org,2002:str"})
#: The tags of the language: the kinds of stores for secrets. In plain form they are keys.
_OWN_TAGS: Final = frozenset({"!akv", "!cas"})


@dataclass(slots=True, kw_only=True)
class Scalar:
    """Text at a place.

    Attributes:
        line: of the place.
        column: of the place.
        text: what it says.
        source: how the document has it, before variables were put in.
        tag: of the language's own tags; None without one.
        quoted: whether quotation marks or a block make it text even where it is empty or says ``null``.
    """

    line: int
    column: int
    text: str = field(repr=False)
    source: str = field(repr=False)
    tag: str | None = None
    quoted: bool = False

    @property
    def size(self) -> int:
        """What the scalar counts for in :data:`EXPANDED_MAX`."""
        return _NODE_WEIGHT + len(self.text)


@dataclass(slots=True, kw_only=True)
class Sequence:
    """A list at a place."""

    line: int
    column: int
    items: list[Node] = field(default_factory=list)
    size: int = _NODE_WEIGHT


@dataclass(slots=True, kw_only=True)
class Mapping:
    """Keys and values in the order of the document; keys may still occur twice."""

    line: int
    column: int
    pairs: list[tuple[Scalar, Node]] = field(default_factory=list)
    size: int = _NODE_WEIGHT
    tag: str | None = None

    def key(self, name: str) -> Scalar | None:
        """Find a key."""
        return next((key for key, _ in self.pairs if key.text == name), None)

    def get(self, name: str) -> Node | None:
        """Find the value of a key."""
        return next((value for key, value in self.pairs if key.text == name), None)


Node: TypeAlias = "Scalar | Sequence | Mapping"


def compose(text: str, *, loader: Any = _Loader) -> Node:
    """Parse YAML text of exactly one document.

    Args:
        text: of the document.
        loader: PyYAML's, in C where there is one; both give the same tree.

    Raises:
        PolicySyntaxError: it is not YAML, too large, too deep, or has tags, several documents or endless aliases.
    """
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        _refuse(0, 0, "the document is not Unicode text")
    if size > DOCUMENT_BYTES_MAX:
        _refuse(0, 0, f"the document has {size} bytes, at most {DOCUMENT_BYTES_MAX} are allowed")
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        _refuse(line, column, f"the document is not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, ValueError, OverflowError):
        # A character that YAML does not allow, or (in PyYAML without its C library) a number out of range.
        _refuse(0, 0, "the document is not YAML: it holds a character that is not allowed")
    if builder.root is None:
        _refuse(0, 0, "the document is empty")
    return builder.root


class _Builder:
    """Builds the tree from parser events, with an explicit stack in place of recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Sequence | Mapping] = []
        self._keys: list[Scalar | None] = []
        self._anchors: dict[str, Node] = {}
        self._anchor_of: list[str | None] = []

    def take(self, event: Any) -> None:
        """Take the next event of the parser."""
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        match event:
            case yaml.DocumentStartEvent() if self.root is not None:
                _refuse(line, column, "a second document begins, one was expected")
            case yaml.ScalarEvent():
                if event.tag not in _TEXT_TAGS | _OWN_TAGS:
                    _refuse(line, column, f"tag {str(event.tag)[:60]} is not supported")
                tag = event.tag if event.tag in _OWN_TAGS else None
                quoted = not event.implicit[0] and tag is None
                text = event.value
                scalar = Scalar(line=line, column=column, text=text, source=text, tag=tag, quoted=quoted)
                self._anchor(event.anchor, scalar)
                self._place(scalar, line, column)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._start(event, line, column)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._end()
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    _refuse(
                        line, column, f"alias *{str(event.anchor)[:60]} refers to nothing that is complete before it"
                    )
                self._place(self._anchors[event.anchor], line, column)
            case _:
                pass

    def _start(self, event: Any, line: int, column: int) -> None:
        sequence = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in {None, "!"} and (sequence or event.tag not in _OWN_TAGS):
            _refuse(line, column, f"tag {str(event.tag)[:60]} is not supported")
        if len(self._open) >= DEPTH_MAX:
            _refuse(line, column, f"the document nests deeper than {DEPTH_MAX}")
        if sequence:
            self._open.append(Sequence(line=line, column=column))
        else:
            tag = event.tag if event.tag in _OWN_TAGS else None
            self._open.append(Mapping(line=line, column=column, tag=tag))
        self._keys.append(None)
        self._anchor_of.append(event.anchor)

    def _end(self) -> None:
        node = self._open.pop()
        self._keys.pop()
        self._anchor(self._anchor_of.pop(), node)
        self._place(node, node.line, node.column)

    def _anchor(self, name: str | None, node: Node) -> None:
        if name is not None:
            self._anchors[name] = node

    def _place(self, node: Node, line: int, column: int) -> None:
        """Put a complete node where the parser is."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.size += node.size
        if parent.size > EXPANDED_MAX:
            _refuse(
                line,
                column,
                f"the document is larger than {EXPANDED_MAX} characters once its aliases are followed",
            )
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        key = self._keys[-1]
        if key is not None:
            parent.pairs.append((key, node))
            self._keys[-1] = None
        elif isinstance(node, Scalar) and node.tag is None:
            self._keys[-1] = node
        else:
            _refuse(line, column, "a key is text, found a list or a mapping")


def plain(node: Node) -> Any:
    """Give the tree as lists, dictionaries and text; of a key that occurs twice the first counts."""
    match node:
        case Scalar():
            if node.tag is not None:
                return {node.tag: node.text} if node.text else node.tag
            return node.text
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            result: dict[str, Any] = {}
            for key, value in node.pairs:
                result.setdefault(key.text, plain(value))
            return result if node.tag is None else {node.tag: result}


def tree(value: Any, source: str | None = None, *, depth: int = DEPTH_MAX) -> Node:
    """Build a tree without places out of its plain form.

    Args:
        value: lists, dictionaries and text; numbers and truth values become the text that they are written as.
        source: what to show in place of all text in it.
        depth: how deep it may nest.

    Raises:
        InputError: it nests deeper.
    """
    if depth < 0:
        raise InputError(f"the value nests deeper than {DEPTH_MAX}")
    match value:
        case dict():
            pairs = [(_scalar(str(key), source), tree(below, source, depth=depth - 1)) for key, below in value.items()]
            return Mapping(line=0, column=0, pairs=pairs)
        case list():
            return Sequence(line=0, column=0, items=[tree(item, source, depth=depth - 1) for item in value])
        case None:
            return _scalar("", source)
        case bool():
            return _scalar("true" if value else "false", source)
        case _:
            return _scalar(str(value), source)


def _scalar(text: str, source: str | None) -> Scalar:
    return Scalar(line=0, column=0, text=text, source=text if source is None else source)


def keys(node: Node, path: str = "") -> Iterator[tuple[str, Scalar]]:
    """Yield every key with the path of its mapping."""
    match node:
        case Scalar():
            pass
        case Sequence():
            for index, item in enumerate(node.items):
                yield from keys(item, f"{path}[{index}]")
        case Mapping():
            for key, value in node.pairs:
                yield path, key
                yield from keys(value, f"{path}.{key.text}" if path else key.text)


def scalars(node: Node, path: str = "") -> Iterator[tuple[str, Scalar]]:
    """Yield every scalar that is a value with its path."""
    match node:
        case Scalar():
            yield path, node
        case Sequence():
            for index, item in enumerate(node.items):
                yield from scalars(item, f"{path}[{index}]")
        case Mapping():
            for key, value in node.pairs:
                yield from scalars(value, f"{path}.{key.text}" if path else key.text)


def repeated_keys(node: Node, path: str = "") -> Iterator[Issue]:
    """Yield an issue for every key that its mapping has already."""
    match node:
        case Sequence():
            for index, item in enumerate(node.items):
                yield from repeated_keys(item, f"{path}[{index}]")
        case Mapping():
            lines: dict[str, int] = {}
            for key, value in node.pairs:
                below = f"{path}.{key.text}" if path else key.text
                if key.text in lines:
                    message = f"the key occurs twice, first at line {lines[key.text]}"
                    yield Issue(line=key.line, column=key.column, path=below, message=message)
                lines.setdefault(key.text, key.line)
                yield from repeated_keys(value, below)
        case Scalar():
            pass


def _refuse(line: int, column: int, message: str) -> NoReturn:
    issue = Issue(line=line, column=column, path="", message=message)
    raise PolicySyntaxError("the session document is not valid", [issue])
