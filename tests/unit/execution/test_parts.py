"""Streams in parts: what is written comes back whatever the sizes, from any byte on, and nothing else does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import BannockError, EnvironmentFault, IntegrityError, NotFoundError
from bannock.execution.transfer.parts import PartSender, PartStream, forget_parts
from bannock.execution.transfer.storage import Patience, Stored

if TYPE_CHECKING:
    from bannock.execution.transfer.interface import Parcel

_HASTY = Patience(sleep=lambda _: None)


class _Memory:
    """A store whose parts are a few bytes, and larger from the fourth on."""

    name = "memory"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failures = 0
        self._lock = threading.Lock()

    def part_bytes(self, number: int) -> int:
        return 7 if number < 3 else 11

    def put(self, name: str, data: bytes | memoryview) -> Stored:
        with self._lock:
            if self.failures:
                self.failures -= 1
                raise EnvironmentFault("not now")
            self.files[name] = bytes(data)
        return Stored(reference=name)

    def get(self, reference: str, limit: int) -> bytearray:
        if reference not in self.files:
            raise NotFoundError("not there")
        return bytearray(self.files[reference][: limit + 1])

    def delete(self, stored: Stored) -> None:
        self.files.pop(stored.reference, None)


def _sent(store: _Memory, pieces: list[bytes]) -> Parcel:
    with PartSender(store, {"kind": "memory"}, patience=_HASTY) as sender:
        for piece in pieces:
            sender.write(piece)
        return sender.finish()


def _read(stream: PartStream, step: int) -> bytes:
    found = b""
    while data := stream.read(step):
        found += data
    return found


@settings(max_examples=100, deadline=None)
@given(pieces=st.lists(st.binary(max_size=40), max_size=12), step=st.integers(1, 50), data=st.data())
def test_streams_come_back(pieces: list[bytes], step: int, data: st.DataObject) -> None:
    """Whatever is written at once and read at once, the stream is the same, and so it is from any byte on."""
    store, whole = _Memory(), b"".join(pieces)
    with PartStream(store, _sent(store, pieces), patience=_HASTY) as stream:
        assert stream.size == len(whole)
        assert _read(stream, step) == whole
        for position in data.draw(st.lists(st.integers(0, len(whole)), max_size=3)):
            stream.seek(position)
            assert _read(stream, step) == whole[position:]


def test_every_flipped_bit_is_found() -> None:
    """No bit of a part, or of the index, can be another one."""
    store = _Memory()
    parcel = _sent(store, [bytes(range(40))])
    for name, data in list(store.files.items()):
        for bit in range(0, 8 * len(data), 3):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            store.files[name] = bytes(changed)
            with pytest.raises(IntegrityError), PartStream(store, parcel, patience=_HASTY) as stream:
                _read(stream, 100)
        store.files[name] = data


def test_failures_that_pass_are_borne_and_others_told() -> None:
    """A store that fails some times is tried again; one that fails for ever is not, and nothing stays there."""
    store = _Memory()
    store.failures = _HASTY.attempts - 1
    with PartStream(store, _sent(store, [b"content" * 9]), patience=_HASTY) as stream:
        assert _read(stream, 100) == b"content" * 9
    store.files.clear()
    store.failures = 1000
    with pytest.raises(EnvironmentFault, match="not now"):
        _sent(store, [b"content" * 9])
    assert store.files == {}


def test_unfinished_streams_leave_nothing() -> None:
    """What was sent of a stream that is given up is deleted."""
    store = _Memory()
    with PartSender(store, {}, patience=_HASTY) as sender:
        sender.write(bytes(60))
    assert store.files == {}


def test_giving_up_does_not_wait() -> None:
    """Who breaks a transfer off has not to wait until a service is there again."""
    store = _Memory()
    store.failures = 1000
    began = time.monotonic()
    with PartSender(store, {}, patience=Patience(first=60, longest=60)) as sender:
        sender.write(bytes(20))
    assert time.monotonic() - began < 30


def test_forgetting_is_complete_and_can_be_repeated() -> None:
    """Parts and index go; a stream that is gone is nothing to forget."""
    store = _Memory()
    parcel = _sent(store, [bytes(60)])
    for _ in range(2):
        forget_parts(store, parcel, patience=_HASTY)
        assert store.files == {}


@pytest.mark.parametrize("size", [-1, 0, 1 << 40, "7", None, 7.0, True])
def test_sizes_of_strangers_are_bounded(size: object) -> None:
    """Nobody has us make room for what cannot be."""
    store = _Memory()
    parcel = dict(_sent(store, [bytes(60)]))
    parcel["index"] = {**parcel["index"], "size": size}
    with pytest.raises(BannockError, match="where the parts"), PartStream(store, parcel, patience=_HASTY):
        pass
