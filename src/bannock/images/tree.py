"""The files of an image as a container sees them: its layers one on top of the other.

Links are followed within the image, as they are in a container: ``..`` stops at the root, absolute links begin there.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Self

from bannock.errors import InputError, IntegrityError
from bannock.images.digests import digest_of_stream
from bannock.images.model import require_content
from bannock.images.tar import Entry, normal_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.images.model import Image, Layer

__all__ = ["Contents", "Found", "Tree", "TreeReader"]

#: As many as the kernel follows (path_resolution(7)).
_LINKS_MAX: Final = 40
_FILE_BYTES_MAX: Final = 4 << 30


class Found(NamedTuple):
    """A file, directory or link of an image.

    Attributes:
        path: absolute, without links but perhaps for itself.
        layer: the number of the layer that it is in, the lowest is 0; of a hard link, that of the content.
        entry: its entry there; of a hard link, the entry of the content.
        own: its own entry, where that is another one.
    """

    path: str
    layer: int
    entry: Entry
    own: Entry


class _Node:
    """A name in the tree; without an entry where a layer names something below it alone."""

    __slots__ = ("children", "entry", "layer", "own")

    def __init__(self, layer: int, entry: Entry | None, own: Entry | None) -> None:
        self.layer, self.entry, self.own = layer, entry, own
        self.children: dict[str, _Node] = {}

    @property
    def is_directory(self) -> bool:
        return self.entry is None or self.entry.kind == "directory"


class Tree:
    """The files of an image.

    Args:
        layers: the lowest first.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers: tuple[Layer, ...] = ()
        self._root = _Node(0, None, None)
        for layer in layers:
            self.add(layer)

    @classmethod
    def of(cls, image: Image, *, below: Self | None = None) -> Self:
        """Put the layers of an image on top of each other.

        Args:
            image: the image.
            below: a tree of its lowest layers, which becomes this one; any other is left alone.

        Raises:
            IntegrityError: a layer is not what it has to be, or names what container engines would not agree on.
        """
        if below is None or below.layers != image.layers[: len(below.layers)]:
            return cls(image.layers)
        for layer in image.layers[len(below.layers) :]:
            below.add(layer)
        return below

    def add(self, layer: Layer) -> None:
        """Put one more layer on top.

        Raises:
            IntegrityError: as :meth:`of`.
        """
        number, entries = len(self.layers), layer.entries()
        self.layers = (*self.layers, layer)
        # What a layer takes away is of the layers below it, wherever in the layer it says so.
        for entry in entries:
            self._take_away(entry)
        for entry in entries:
            if entry.kind not in {"whiteout", "opaque", "ignored"}:
                self._put(number, entry)

    def find(self, path: str, *, follow: bool = True) -> Found | None:
        """Find what a path leads to, following links (but not the last one where ``follow`` is false).

        Returns:
            None if there is nothing, or links lead in a circle.
        """
        todo = deque(part for part in path.split("/") if part not in {"", "."})
        walked: list[tuple[str, _Node]] = []
        links = 0
        while todo:
            name = todo.popleft()
            if name == "..":
                walked = walked[:-1]
                continue
            node = (walked[-1][1] if walked else self._root).children.get(name)
            if node is None:
                return None
            if node.entry is not None and node.entry.kind == "symlink" and (todo or follow):
                links += 1
                if links > _LINKS_MAX:
                    return None
                if node.entry.link.startswith("/"):
                    walked = []
                todo.extendleft(reversed([part for part in node.entry.link.split("/") if part not in {"", "."}]))
                continue
            if todo and not node.is_directory:
                return None
            walked.append((name, node))
        node = walked[-1][1] if walked else self._root
        return _found("/" + "/".join(name for name, _ in walked), node)

    def walk(self, prefix: str = "/") -> Iterator[Found]:
        """Yield what is at a path and below it, sorted by name; links are not followed but for the path itself."""
        begin = self.find(prefix)
        if begin is None:
            return
        node = self._root
        for part in begin.path.split("/"):
            node = node.children[part] if part else node
        todo = [(begin.path.rstrip("/"), node)]
        while todo:
            path, node = todo.pop()
            yield _found(path or "/", node)
            todo.extend((f"{path}/{name}", child) for name, child in sorted(node.children.items(), reverse=True))

    def under(self, prefix: str) -> Iterator[tuple[int, Entry]]:
        """Yield every entry at a path and below it, of every layer, also those that a container does not see any more.

        Args:
            prefix: without links, as ``find(…).path``.
        """
        wanted = normal_path(prefix)
        below = f"{wanted}/" if wanted else ""
        for number, layer in enumerate(self.layers):
            for entry in layer.entries():
                if entry.path == wanted or entry.path.startswith(below):
                    yield number, entry

    def open(self, path: str) -> BinaryIO:
        """Open a file.

        Raises:
            InputError: there is none.
        """
        found = self.find(path)
        if found is None or found.entry.kind != "file":
            raise InputError(f"there is no file {path} in the image")
        return self.layers[found.layer].content(found.entry)

    def read(self, path: str, *, limit: int = 64 << 20) -> bytes:
        """Read a file of at most ``limit`` bytes.

        Raises:
            InputError: there is none, or it is larger.
        """
        with self.open(path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InputError(f"{path} in the image is larger than the {limit} bytes allowed here")
        return data

    def _take_away(self, entry: Entry) -> None:
        if entry.kind not in {"whiteout", "opaque"}:
            return
        parts = entry.path.split("/") if entry.path else []
        parent = self._root
        for part in parts[:-1]:
            child = parent.children.get(part)
            if child is None:
                return
            parent = child
        if entry.kind == "whiteout":
            parent.children.pop(parts[-1], None)
        else:
            target = parent.children.get(parts[-1]) if parts else parent
            if target is not None:
                target.children.clear()

    def _put(self, number: int, entry: Entry) -> None:
        if not entry.path:
            self._root.entry = self._root.own = entry
            return
        *above, name = entry.path.split("/")
        parent = self._root
        for part in above:
            child = parent.children.get(part)
            if child is None:
                child = parent.children[part] = _Node(number, None, None)
            parent = child
            if not parent.is_directory:
                raise IntegrityError(
                    f"layer {number + 1} of the image has {entry.path!r} below {part!r}, which is no directory there",
                    hint="container engines do not agree on where that goes; build the image with the directory's "
                    "own name in place of the link",
                )
        content, layer = entry, number
        if entry.kind == "hardlink":
            target = self._node(entry.link)
            if target is None or target.entry is None or target.is_directory:
                raise IntegrityError(
                    f"{entry.path!r} in the image is a hard link to {entry.link!r}, which is not there"
                )
            content, layer = target.entry, target.layer
        old = parent.children.get(name)
        if old is not None and old.is_directory and entry.kind == "directory":
            old.layer, old.entry, old.own = number, entry, entry
        else:
            parent.children[name] = _Node(layer, content, entry)

    def _node(self, path: str) -> _Node | None:
        node: _Node | None = self._root
        for part in path.split("/"):
            node = node.children.get(part) if node is not None else None
        return node


def _found(path: str, node: _Node) -> Found:
    """Tell what a name is; what no layer has an entry for is a directory, as engines make it."""
    if node.entry is None or node.own is None:
        made = Entry(path.strip("/"), "directory", 0o755, 0, 0, 0, "", 0, 0, 0, sparse=False)
        return Found(path, node.layer, made, made)
    return Found(path, node.layer, node.entry, node.own)


class Contents:
    """The contents of many files, for which each layer is opened once; a context manager.

    Args:
        layers: the lowest first.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._open = ExitStack()
        self._streams: dict[int, BinaryIO] = {}

    def at(self, number: int, entry: Entry) -> BinaryIO:
        """Return a stream at the begin of a file, of which no more than its size may be read; good until the next.

        Raises:
            InputError: the entry has no content.
            IntegrityError: the layer is not what it has to be.
        """
        require_content(entry)
        if (stream := self._streams.get(number)) is None:
            stream = self._streams[number] = self._open.enter_context(self._layers[number].unpacked())
        stream.seek(entry.data)
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class TreeReader:
    """Reads the files of an image for a measurement (:class:`bannock.identity.libraries.FileReader`)."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def resolve(self, path: str) -> str:
        """Return the canonical path of a file.

        Raises:
            InputError: there is none.
        """
        found = self._tree.find(path)
        if found is None or found.entry.kind != "file":
            raise InputError(f"there is no file {path} in the image")
        return found.path

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        found = self._tree.find(path)
        return found is not None and found.entry.kind == "file"

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of a file.

        Raises:
            InputError: there is no such file.
        """
        with self._tree.open(path) as file:
            file.seek(offset)
            return file.read(size)

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size of a file.

        Raises:
            InputError: there is no such file, or it is larger than programs are.
        """
        with self._tree.open(path) as file:
            if file.seek(0, 2) > _FILE_BYTES_MAX:
                raise InputError(f"{path} in the image is larger than the {_FILE_BYTES_MAX} bytes allowed here")
            file.seek(0)
            digest, size = digest_of_stream(file)
        return bytes.fromhex(digest.removeprefix("sha256:")), size
