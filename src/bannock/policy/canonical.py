"""Canonical JSON (RFC 8785): one byte string for one value, whatever the order and layout it was written in.

Pure. Covers what Bannock hashes: text, whole numbers, truth values, null, lists and objects. Numbers with a
fraction do not occur in any of its formats and are refused, so that their serialisation never matters.
"""

from __future__ import annotations

import json
import re
from typing import Final, TypeAlias

from bannock.errors import InputError

__all__ = ["JsonValue", "canonical_json"]

JsonValue: TypeAlias = "str | int | bool | list[JsonValue] | dict[str, JsonValue] | None"

#: Whole numbers beyond it are not the same in every JSON implementation (RFC 8785 section 3.2.2.3, I-JSON).
_LARGEST_INTEGER: Final = 2**53 - 1
_ASTRAL: Final = "\U00010000"
#: What may be one; in a text, it is one by chance. Digests, which are in quotation marks, are none.
_LONG_NUMBER: Final = re.compile(r"(?:^|[:,\[])-?[0-9]{16}")


def canonical_json(value: JsonValue) -> bytes:
    """Serialise by RFC 8785.

    Raises:
        InputError: a number is too large to be exact everywhere, or text is not Unicode.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        # This way is several times as fast. Code points and UTF-16 code units are in the same order below U+10000.
        if not _LONG_NUMBER.search(text) and (text.isascii() or max(text) < _ASTRAL):
            return text.encode("utf-8")
        return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("text for canonical JSON holds a lone surrogate, which is not Unicode") from None


def _ordered(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return value
        case dict():
            # RFC 8785 section 3.2.3 sorts by UTF-16 code units, which differs from code points above U+FFFF.
            ascii_only = "".join(value).isascii()
            keys = sorted(value) if ascii_only else sorted(value, key=lambda key: key.encode("utf-16-be"))
            return {key: _ordered(value[key]) for key in keys}
        case list():
            return [_ordered(item) for item in value]
        case int() if abs(value) > _LARGEST_INTEGER:
            raise InputError(f"a number for canonical JSON is beyond {_LARGEST_INTEGER}")
        case _:
            return value
