"""Fields of the session language: what each kind of value looks like, from text to a typed value.

Pure. A parser here takes what the document has and gives the value or raises pydantic's error type, which is how
pydantic collects all of them. No message repeats the value it refuses; :mod:`bannock.policy._issues` adds what
was found, and leaves it out for what may be secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticCustomError

from bannock.errors import InputError
from bannock.policy._versions import FIRST, rank
from bannock.policy.configuration import MODE_MAX, require_path
from bannock.policy.template import Template, is_placeholder
from bannock.values import FSPF_KEY_BYTES, FSPF_TAG_BYTES, FspfKey, FspfTag, Measurement, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import ValidationInfo

__all__ = [
    "CONFLICT",
    "EXPECTED",
    "EXPECTED_UNSHOWN",
    "SESSION_NAME_MAX",
    "absent_as_empty_list",
    "absent_as_empty_mapping",
    "any_name",
    "as_list",
    "attester_key",
    "boolean",
    "digest",
    "expected",
    "expected_unshown",
    "fspf_key",
    "hex_digits",
    "items",
    "measurement",
    "mode",
    "name",
    "no_nul",
    "number",
    "one_of",
    "path",
    "path_below_root",
    "predecessor",
    "require_text",
    "secret_hex",
    "secret_text",
    "session_hash",
    "session_name",
    "tag",
    "template",
    "text",
]

#: Types of the errors that parsers here raise; what was found may be shown with the first, never with the second.
EXPECTED: Final = "expected"
EXPECTED_UNSHOWN: Final = "expected_unshown"
#: Parts of a mapping do not go together; the message says all.
CONFLICT: Final = "conflict"

_NAME: Final = re.compile(r"[A-Za-z0-9_\-.~]{1,128}")
#: Of a name with the names of its namespaces.
SESSION_NAME_MAX: Final = 1024
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_NUMBER: Final = re.compile(r"[0-9]{1,6}")
_OCTAL: Final = re.compile(r"0o?([0-7]{1,4})")
#: Names of images and volumes: anything that can be written in one line.
_ANY_NAME: Final = re.compile(r"(?=\S)[^\x00-\x1f\x7f]{1,256}(?<=\S)")
_EMPTY: Final = ("", "~", "null")


def expected(what: str) -> PydanticCustomError:
    """Say what was expected; what was found is shown."""
    return PydanticCustomError(EXPECTED, "expected {what}", {"what": what})


def expected_unshown(what: str) -> PydanticCustomError:
    """Say what was expected; what was found may be secret."""
    return PydanticCustomError(EXPECTED_UNSHOWN, "expected {what}", {"what": what})


def require_text(value: Any, what: str) -> str:
    """Take text, and no list or mapping."""
    if not isinstance(value, str):
        raise expected(what)
    return value


def no_nul(text: str) -> str:
    """Take text that programs in C can take."""
    if "\0" in text:
        raise expected_unshown("text without NUL bytes")
    return text


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and text not in {".", ".."}


def name(value: Any) -> str:
    """Take the name of a part of a session."""
    what = "a name of 1 to 128 letters, digits, '-', '_', '.' and '~'"
    text = require_text(value, what)
    if not _is_name(text):
        raise expected(what)
    return text


def session_name(value: Any, info: ValidationInfo) -> str:
    """Take the name of a session, with the names of its namespaces before it."""
    what = "names of 1 to 128 letters, digits, '-', '_', '.' and '~', separated by '/'"
    text = require_text(value, what)
    # Colons are of language version 0.1.
    plain = text.replace(":", "-") if info.context is not None and info.context.version == rank(FIRST) else text
    if len(text) > SESSION_NAME_MAX or not all(_is_name(part) for part in plain.split("/")):
        raise expected(what)
    return text


def any_name(value: Any) -> str:
    """Take the name of an image or a volume, which is arbitrary."""
    what = "a name of 1 to 256 characters"
    text = require_text(value, what)
    if not _ANY_NAME.fullmatch(text):
        raise expected(what)
    return text


def text(value: Any) -> str:
    """Take text without NUL bytes."""
    return no_nul(require_text(value, "text"))


def path(value: Any) -> str:
    """Take an absolute path; one slash at its end is dropped."""
    what = "an absolute path without '.', '..' and '//'"
    text = require_text(value, what)
    if text != "/" and not text.endswith("//"):
        text = text.removesuffix("/")
    try:
        require_path(text)
    except InputError:
        raise expected(what) from None
    return text


def path_below_root(value: Any) -> str:
    """Take an absolute path other than ``/``."""
    below = path(value)
    if below == "/":
        raise expected("a path below /")
    return below


def hex_digits(count: int) -> Callable[[Any], bytes]:
    """Give a parser of exactly so many hexadecimal digits."""

    def parse(value: Any) -> bytes:
        what = f"{count} hexadecimal digits"
        text = require_text(value, what)
        if len(text) != count or not _HEX.fullmatch(text):
            raise expected(what)
        return bytes.fromhex(text)

    return parse


def measurement(value: Any) -> Measurement:
    """Take MRENCLAVE or MRSIGNER."""
    return Measurement(hex_digits(64)(value))


def tag(value: Any) -> FspfTag:
    """Take the tag of a file-system protection file."""
    # Not shown: where a tag is expected, users have pasted the key.
    if not isinstance(value, str) or len(value) != 2 * FSPF_TAG_BYTES or not _HEX.fullmatch(value):
        raise expected_unshown(f"{2 * FSPF_TAG_BYTES} hexadecimal digits")
    return FspfTag(bytes.fromhex(value))


def session_hash(value: Any) -> str:
    """Take the hash of a session, in lower case from here on."""
    return hex_digits(64)(value).hex()


def predecessor(value: Any) -> str | None:
    """Take the hash of the predecessor; of a first version other tools write that there is none."""
    return None if isinstance(value, str) and value in _EMPTY else session_hash(value)


def digest(value: Any) -> str | None:
    """Take ``digest`` of language version 0.1: ``create``, or the hash of the predecessor."""
    if value == "create":
        return None
    try:
        return session_hash(value)
    except PydanticCustomError:
        raise expected("create, or the hash of the session that is to be replaced") from None


def attester_key(value: Any) -> str:
    """Take the public key of an attester, in lower case from here on."""
    return hex_digits(64)(value).hex()


def fspf_key(value: Any) -> FspfKey | Template:
    """Take the key of a protection file, or the placeholder of a secret that is the key."""
    what = "64 hexadecimal digits or $$SCONE::NAME$$ of a binary secret"
    text = require_text(value, what)
    if is_placeholder(text):
        reference = template(text)
        if len(reference.parts) != 1:
            raise expected_unshown(what)
        return reference
    if not _HEX.fullmatch(text) or len(text) != 2 * FSPF_KEY_BYTES:
        raise expected_unshown(what)
    return FspfKey(bytes.fromhex(text))


def template(value: Any) -> Template:
    """Take text with placeholders."""
    text = no_nul(require_text(value, "text"))
    try:
        return Template.parse(text)
    except InputError as error:
        raise expected_unshown(f"well-formed placeholders: {error.message}") from None


def number(value: Any) -> int:
    """Take a whole number of at most six digits."""
    text = require_text(value, "a whole number")
    if not _NUMBER.fullmatch(text):
        raise expected("a whole number")
    return int(text)


def mode(value: Any) -> int:
    """Take the permissions of a file."""
    text = require_text(value, "an octal mode")
    match = _OCTAL.fullmatch(text)
    if match is None or int(match[1], 8) > MODE_MAX:
        raise expected("an octal mode such as 0o600, at most 0o777")
    return int(match[1], 8)


def boolean(value: Any) -> bool:
    """Take a truth value; ``yes`` and ``on`` are none, as YAML 1.2 has it."""
    text = require_text(value, "true or false")
    if text.lower() not in {"true", "false"}:
        raise expected("true or false")
    return text.lower() == "true"


def one_of(*allowed: str, slips: Mapping[str, str] | None = None) -> Callable[[Any], str]:
    """Give a parser of a word out of a list; ``slips`` are words that users write for one of them."""
    what = "one of " + ", ".join(allowed)

    def parse(value: Any) -> str:
        text = require_text(value, what)
        if text not in allowed:
            raise PydanticCustomError(
                EXPECTED, "expected {what}", {"what": what, "allowed": list(allowed), "slips": slips}
            )
        return text

    return parse


def as_list(value: Any) -> Any:
    """Take one item for a list of it, which the language allows in many places."""
    return value if isinstance(value, list) else [value]


def absent_as_empty_list(value: Any) -> Any:
    """Take a key without a value for an empty list."""
    return [] if value in _EMPTY else value


def absent_as_empty_mapping(value: Any) -> Any:
    """Take a key without a value for an empty mapping."""
    return {} if isinstance(value, str) and value in _EMPTY else value


def items(value: Any) -> Any:
    """Take a list, one item for a list of it, or nothing."""
    return as_list(absent_as_empty_list(value))


def secret_text(value: Any) -> Secret:
    """Take text that is not shown anywhere."""
    if not isinstance(value, str):
        raise expected_unshown("text")
    return Secret(no_nul(value).encode("utf-8"))


def secret_hex(value: Any) -> Secret:
    """Take an even number of hexadecimal digits that are not shown anywhere."""
    if not isinstance(value, str) or not value or not _HEX.fullmatch(value):
        raise expected_unshown("an even number of hexadecimal digits")
    return Secret(bytes.fromhex(value))
