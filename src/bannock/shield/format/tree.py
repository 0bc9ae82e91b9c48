"""An ordered map from bytes to bytes in sealed pages: a B+ tree, copied on write.

A change touches the pages from its leaf to the root; they stay in memory until :meth:`Tree.flush`. Clean pages are
cached up to a bound, so memory does not grow with the tree. Not thread-safe.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeAlias

from bannock.errors import Bug, IntegrityError
from bannock.shield.format.pages import NO_PAGE, PAGE_BYTES, REF_BYTES, PageRef, decode_ref, encode_ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.shield.format.pages import Pager

__all__ = ["MAX_DEPTH", "MAX_KEY_BYTES", "MAX_VALUE_BYTES", "Tree", "decode_page"]

#: Three entries fit into a page at least, so that splits always succeed.
MAX_KEY_BYTES: Final = 9 + 255
MAX_VALUE_BYTES: Final = 1280

_LEAF, _INNER = 1, 2
_HEADER: Final = struct.Struct("<BH")
_ENTRY: Final = struct.Struct("<HH")
_SEPARATOR: Final = struct.Struct("<H")
_CAPACITY: Final = PAGE_BYTES - _HEADER.size
_SMALL: Final = _CAPACITY // 4
_MERGED: Final = _CAPACITY * 3 // 4
#: 2^40 pages of at least two children each need no more; a deeper tree is an attack on the stack.
MAX_DEPTH: Final = 40
#: Clean pages kept decoded; about 12 KiB each in memory.
_CACHED_PAGES: Final = 4096


class _Leaf:
    __slots__ = ("keys", "size", "values")

    def __init__(self, keys: list[bytes], values: list[bytes]) -> None:
        self.keys = keys
        self.values = values
        self.size = sum(map(len, keys)) + sum(map(len, values)) + _ENTRY.size * len(keys)

    def split(self, *, appended: bool) -> _Leaf:
        """Keep the lower part and return the upper one; all but the last entry stay when entries come in order."""
        at = (
            len(self.keys) - 1
            if appended
            else _middle([len(k) + len(v) for k, v in zip(self.keys, self.values, strict=True)])
        )
        right = _Leaf(self.keys[at:], self.values[at:])
        del self.keys[at:], self.values[at:]
        self.size -= right.size
        return right

    def encode(self) -> bytes:
        parts = [_HEADER.pack(_LEAF, len(self.keys))]
        for key, value in zip(self.keys, self.values, strict=True):
            parts += (_ENTRY.pack(len(key), len(value)), key, value)
        return b"".join(parts)


class _Inner:
    """``children[i]`` holds keys below ``keys[i]``, the last child the rest."""

    __slots__ = ("children", "keys", "size")

    def __init__(self, keys: list[bytes], children: list[_Child]) -> None:
        self.keys = keys
        self.children = children
        self.size = sum(map(len, keys)) + _SEPARATOR.size * len(keys) + REF_BYTES * len(children)

    def insert(self, index: int, key: bytes, right: _Node) -> None:
        self.keys.insert(index, key)
        self.children.insert(index + 1, right)
        self.size += len(key) + _SEPARATOR.size + REF_BYTES

    def drop(self, index: int) -> None:
        """Remove a child and the key beside it."""
        del self.children[index]
        if self.keys:
            gone = self.keys.pop(max(index - 1, 0))
            self.size -= len(gone) + _SEPARATOR.size
        self.size -= REF_BYTES

    def split(self, *, appended: bool) -> tuple[bytes, _Inner]:
        """Keep the lower part; return the key between and the upper part."""
        at = len(self.keys) - 2 if appended else _middle([len(key) + REF_BYTES for key in self.keys])
        separator = self.keys[at]
        right = _Inner(self.keys[at + 1 :], self.children[at + 1 :])
        del self.keys[at:], self.children[at + 1 :]
        self.size -= right.size + len(separator) + _SEPARATOR.size
        return separator, right

    def encode(self) -> bytes:
        parts = [_HEADER.pack(_INNER, len(self.keys))]
        for child in self.children:
            if not isinstance(child, PageRef):
                raise Bug("a page was written before its children")
            parts.append(encode_ref(child))
        for key in self.keys:
            parts += (_SEPARATOR.pack(len(key)), key)
        return b"".join(parts)


_Node: TypeAlias = _Leaf | _Inner
#: A child is a reference while it is clean, and the node itself once it was changed.
_Child: TypeAlias = PageRef | _Leaf | _Inner


def _middle(sizes: list[int]) -> int:
    """Return where to cut a list so that both parts are as equal as can be, and neither is empty."""
    half, before = sum(sizes) / 2, 0
    for index, size in enumerate(sizes):
        if before + size > half:
            best = index if half - before < before + size - half else index + 1
            return min(max(best, 1), len(sizes) - 1)
        before += size
    return len(sizes) - 1


class Tree:
    """The map. ``root`` is :data:`NO_PAGE` for an empty one."""

    def __init__(self, pager: Pager, root: PageRef) -> None:
        self._pager = pager
        self._root: _Child = root
        self._cache: OrderedDict[int, _Node] = OrderedDict()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        if self._root == NO_PAGE:
            return None
        node = self._load(self._root)
        for _ in range(MAX_DEPTH):
            if isinstance(node, _Leaf):
                index = bisect_left(node.keys, key)
                return node.values[index] if index < len(node.keys) and node.keys[index] == key else None
            node = self._load(node.children[bisect_right(node.keys, key)])
        raise IntegrityError("the tree is too deep")

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        if len(key) > MAX_KEY_BYTES or len(value) > MAX_VALUE_BYTES:
            raise Bug(f"an entry of {len(key)} + {len(value)} bytes does not fit a page")
        root = self._root = _Leaf([], []) if self._root == NO_PAGE else self._own(self._root)
        if (parts := self._insert(root, key, value, 0)) is not None:
            separator, right = parts
            self._root = _Inner([separator], [root, right])

    def delete(self, key: bytes) -> bool:
        """Remove a key; return whether it was there."""
        if self.get(key) is None:
            return False
        root = self._root = self._own(self._root)
        self._remove(root, key)
        while isinstance(root, _Inner) and len(root.children) == 1:
            root = self._root = self._own(root.children[0])
        if isinstance(root, _Leaf) and not root.keys:
            self._root = NO_PAGE
        return True

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most ``limit`` entries with ``start <= key < end``, in order."""
        found: list[tuple[bytes, bytes]] = []
        if self._root != NO_PAGE:
            self._collect(self._load(self._root), start, end, limit, found, 0)
        return found

    def walk(self, start: bytes, end: bytes, *, batch: int = 256) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries with ``start <= key < end``; the tree may be changed while this goes on."""
        while entries := self.scan(start, end, batch):
            yield from entries
            start = entries[-1][0] + b"\0"

    def flush(self) -> PageRef:
        """Write every changed page, children first, and return the reference to the root."""
        self._root = self._write(self._root)
        return self._root

    # -- pages in memory

    def _load(self, child: _Child) -> _Node:
        if not isinstance(child, PageRef):
            return child
        node = self._cache.get(child.page)
        if node is None:
            node = _decode(self._pager.read(child))
            self._remember(child.page, node)
        else:
            self._cache.move_to_end(child.page)
        return node

    def _remember(self, page: int, node: _Node) -> None:
        self._cache[page] = node
        if len(self._cache) > _CACHED_PAGES:
            self._cache.popitem(last=False)

    def _own(self, child: _Child) -> _Node:
        """Return the node to change; its old page is given up."""
        if not isinstance(child, PageRef):
            return child
        node = self._load(child)
        del self._cache[child.page]
        self._pager.free(child.page)
        return node

    def _own_child(self, parent: _Inner, index: int) -> _Node:
        node = parent.children[index] = self._own(parent.children[index])
        return node

    def _write(self, child: _Child) -> PageRef:
        if isinstance(child, PageRef):
            return child
        if isinstance(child, _Inner):
            for index, below in enumerate(child.children):
                if not isinstance(below, PageRef):
                    child.children[index] = self._write(below)
        ref = self._pager.write(child.encode())
        self._remember(ref.page, child)
        return ref

    # -- changes

    def _insert(self, node: _Node, key: bytes, value: bytes, depth: int) -> tuple[bytes, _Node] | None:
        if isinstance(node, _Leaf):
            return _insert_into_leaf(node, key, value)
        if depth > MAX_DEPTH:
            raise IntegrityError("the tree is too deep")
        index = bisect_right(node.keys, key)
        parts = self._insert(self._own_child(node, index), key, value, depth + 1)
        if parts is None:
            return None
        node.insert(index, *parts)
        if node.size <= _CAPACITY:
            return None
        return node.split(appended=index == len(node.keys) - 1)

    def _remove(self, node: _Node, key: bytes) -> None:
        if isinstance(node, _Leaf):
            index = bisect_left(node.keys, key)
            node.size -= len(key) + len(node.values[index]) + _ENTRY.size
            del node.keys[index], node.values[index]
            return
        index = bisect_right(node.keys, key)
        child = self._own_child(node, index)
        self._remove(child, key)
        empty = not (child.keys if isinstance(child, _Leaf) else child.children)
        if empty:
            node.drop(index)
        elif child.size < _SMALL and len(node.children) > 1:
            self._merge(node, max(index - 1, 0))

    def _merge(self, parent: _Inner, left: int) -> None:
        """Join two neighbours if they fill a page only in part."""
        sizes = self._load(parent.children[left]).size + self._load(parent.children[left + 1]).size
        if sizes > _MERGED:
            return
        first, second = self._own_child(parent, left), self._own_child(parent, left + 1)
        if isinstance(first, _Leaf) and isinstance(second, _Leaf):
            joined: _Node = _Leaf(first.keys + second.keys, first.values + second.values)
        elif isinstance(first, _Inner) and isinstance(second, _Inner):
            joined = _Inner([*first.keys, parent.keys[left], *second.keys], first.children + second.children)
        else:
            raise IntegrityError("the tree is of uneven depth")
        parent.children[left] = joined
        parent.drop(left + 1)

    def _collect(
        self, node: _Node, start: bytes, end: bytes, limit: int, found: list[tuple[bytes, bytes]], depth: int
    ) -> None:
        if isinstance(node, _Leaf):
            low, high = bisect_left(node.keys, start), bisect_left(node.keys, end)
            high = min(high, low + limit - len(found))
            found.extend(zip(node.keys[low:high], node.values[low:high], strict=True))
            return
        if depth > MAX_DEPTH:
            raise IntegrityError("the tree is too deep")
        for index in range(bisect_right(node.keys, start), bisect_left(node.keys, end) + 1):
            if len(found) >= limit:
                return
            self._collect(self._load(node.children[index]), start, end, limit, found, depth + 1)


def _insert_into_leaf(leaf: _Leaf, key: bytes, value: bytes) -> tuple[bytes, _Node] | None:
    index = bisect_left(leaf.keys, key)
    if index < len(leaf.keys) and leaf.keys[index] == key:
        leaf.size += len(value) - len(leaf.values[index])
        leaf.values[index] = value
    else:
        leaf.keys.insert(index, key)
        leaf.values.insert(index, value)
        leaf.size += len(key) + len(value) + _ENTRY.size
    if leaf.size <= _CAPACITY:
        return None
    right = leaf.split(appended=index == len(leaf.keys) - 1)
    return right.keys[0], right


def decode_page(content: bytes) -> tuple[list[bytes], list[bytes], list[PageRef]]:
    """Return what is in a page of a tree: keys, and either their values, or one reference more than there are keys.

    Raises:
        IntegrityError: it is not what the format allows.
    """
    node = _decode(content)
    if isinstance(node, _Leaf):
        return node.keys, node.values, []
    return node.keys, [], [child for child in node.children if isinstance(child, PageRef)]


def _decode(content: bytes) -> _Node:
    """Parse a page; it is authentic, so a defect is the writer's, yet it must not end in an exception of Python."""
    try:
        kind, count = _HEADER.unpack_from(content)
        if kind == _LEAF:
            return _decode_leaf(content, count)
        if kind == _INNER:
            return _decode_inner(content, count)
    except struct.error as error:
        raise IntegrityError("a page of the tree ends early") from error
    raise IntegrityError(f"a page of the tree is of unknown kind {kind}")


def _decode_leaf(content: bytes, count: int) -> _Leaf:
    keys, values, at = [], [], _HEADER.size
    for _ in range(count):
        key_size, value_size = _ENTRY.unpack_from(content, at)
        at += _ENTRY.size
        middle, end = at + key_size, at + key_size + value_size
        if end > PAGE_BYTES:
            raise IntegrityError("an entry of the tree reaches over its page")
        keys.append(content[at:middle])
        values.append(content[middle:end])
        at = end
    return _Leaf(keys, values)


def _decode_inner(content: bytes, count: int) -> _Inner:
    at = _HEADER.size
    children: list[_Child] = [
        decode_ref(content[at + i * REF_BYTES : at + (i + 1) * REF_BYTES]) for i in range(count + 1)
    ]
    at += (count + 1) * REF_BYTES
    keys = []
    for _ in range(count):
        (size,) = _SEPARATOR.unpack_from(content, at)
        at += _SEPARATOR.size
        if at + size > PAGE_BYTES:
            raise IntegrityError("a key of the tree reaches over its page")
        keys.append(content[at : at + size])
        at += size
    return _Inner(keys, children)
