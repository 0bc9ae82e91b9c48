"""A reader of DER (X.690), for what general libraries do not take or do not know. Pure.

AMD's chip certificates have the serial number 0, which ``cryptography`` announces to refuse; vendors' extensions are
structures of their own. A reader never looks past the bytes that it was given, and every length is checked first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Der", "SignedParts", "oid_text", "signed_parts"]

_LONG_LENGTH_BYTES_MAX: Final = 4
_OID_BYTES_MAX: Final = 64


class Der:
    """Elements one after another.

    Args:
        data: the elements.
        what: what they belong to, for messages.
    """

    BOOLEAN: Final = 0x01
    INTEGER: Final = 0x02
    BIT_STRING: Final = 0x03
    OCTET_STRING: Final = 0x04
    OID: Final = 0x06
    ENUMERATED: Final = 0x0A
    SEQUENCE: Final = 0x30
    SET: Final = 0x31

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._place = 0
        self._what = what

    def __bool__(self) -> bool:
        return self._place < len(self._data)

    def element(self, tag: int | None = None) -> tuple[int, bytes, bytes]:
        """Read one element; return its tag, its content and all of it.

        Raises:
            EvidenceError: there is none, it is not in its one DER form, or it has another tag.
        """
        start, end = self._place, len(self._data)
        if end - start < 2:  # noqa: PLR2004 - tag and length
            raise self._malformed("ends too early")
        found = self._data[start]
        if found & 0x1F == 0x1F:  # noqa: PLR2004 - the form for tags above 30, which nothing here has
            raise self._malformed("has a tag above 30")
        if tag is not None and found != tag:
            raise self._malformed(f"has an element 0x{found:02x} where 0x{tag:02x} is expected")
        length, content = self._length(start + 1)
        if length > end - content:
            raise self._malformed(f"has an element of {length} bytes where {end - content} are left")
        self._place = content + length
        return found, self._data[content : self._place], self._data[start : self._place]

    def read(self, tag: int) -> bytes:
        """Read the content of an element."""
        return self.element(tag)[1]

    def inside(self, tag: int) -> Der:
        """Give a reader of what is inside of an element."""
        return Der(self.read(tag), self._what)

    def next_is(self, *tags: int) -> bool:
        """Whether there is an element more, and it has one of these tags."""
        return bool(self) and self._data[self._place] in tags

    def optional(self, tag: int) -> bytes | None:
        """Read the content of an element if one of this tag is the next."""
        return self.read(tag) if self.next_is(tag) else None

    def each(self, tag: int) -> Iterator[Der]:
        """Give a reader for each element up to the end, all of one tag."""
        while self:
            yield self.inside(tag)

    def integer(self) -> int:
        """Read an INTEGER."""
        return self._whole(self.read(self.INTEGER))

    def enumerated(self) -> int:
        """Read an ENUMERATED."""
        return self._whole(self.read(self.ENUMERATED))

    def boolean(self) -> bool:
        """Read a BOOLEAN."""
        content = self.read(self.BOOLEAN)
        if content not in {b"\x00", b"\xff"}:
            raise self._malformed("has a BOOLEAN that is neither")
        return content == b"\xff"

    def oid(self) -> str:
        """Read an OBJECT IDENTIFIER."""
        text = oid_text(self.read(self.OID))
        if text is None:
            raise self._malformed("has a malformed OBJECT IDENTIFIER")
        return text

    def bits(self) -> bytes:
        """Read a BIT STRING of whole bytes."""
        content = self.read(self.BIT_STRING)
        if not content or content[0] != 0:
            raise self._malformed("has a BIT STRING that is not of whole bytes")
        return content[1:]

    def end(self) -> None:
        """Require that nothing is left.

        Raises:
            EvidenceError: something is.
        """
        if self:
            raise self._malformed(f"has {len(self._data) - self._place} bytes too many")

    def _whole(self, content: bytes) -> int:
        if not content or (len(content) > 1 and content[0] in {0x00, 0xFF} and content[0] >> 7 == content[1] >> 7):
            raise self._malformed("has an INTEGER that is not in its shortest form")
        return int.from_bytes(content, "big", signed=True)

    def _length(self, place: int) -> tuple[int, int]:
        """Read a length; return it and where the content begins."""
        first = self._data[place]
        place += 1
        if first < 0x80:  # noqa: PLR2004 - the short form
            return first, place
        count = first & 0x7F
        encoded = self._data[place : place + count]
        if not 1 <= count <= _LONG_LENGTH_BYTES_MAX or len(encoded) != count:
            raise self._malformed("has a length that is not definite, or too long")
        length = int.from_bytes(encoded, "big")
        if length < 0x80 or encoded[0] == 0:  # noqa: PLR2004 - what has a shorter form
            raise self._malformed("has a length that is not in its shortest form")
        return length, place + count

    def _malformed(self, how: str) -> EvidenceError:
        return EvidenceError(f"{self._what} is malformed: it {how}")


class SignedParts(NamedTuple):
    """The parts of something that was signed, as X.509 has it.

    Attributes:
        content: what is inside of the part that was signed.
        signed: the part that was signed, all of it.
        algorithm: how, all of the element.
        signature: of whole bytes, which ``cryptography`` does not look at.
    """

    content: bytes
    signed: bytes
    algorithm: bytes
    signature: bytes


def signed_parts(data: bytes, what: str) -> SignedParts:
    """Take a certificate or a list of revoked certificates apart (RFC 5280, sections 4.1 and 5.1).

    Raises:
        EvidenceError: it is not in the one form that it has, or something is behind it.
    """
    outer = Der(data, what)
    whole = outer.inside(Der.SEQUENCE)
    outer.end()
    _, content, signed = whole.element(Der.SEQUENCE)
    _, _, algorithm = whole.element(Der.SEQUENCE)
    signature = whole.bits()
    whole.end()
    return SignedParts(content, signed, algorithm, signature)


def oid_text(content: bytes) -> str | None:
    """Give an OBJECT IDENTIFIER as dotted text; None where it is malformed."""
    if not content or len(content) > _OID_BYTES_MAX or content[-1] & 0x80:
        return None
    arcs, arc, fresh = [], 0, True
    for byte in content:
        if fresh and byte == 0x80:  # noqa: PLR2004 - a leading zero, which the shortest form does not have
            return None
        arc, fresh = arc << 7 | byte & 0x7F, not byte & 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(each) for each in (first, arcs[0] - 40 * first, *arcs[1:]))
