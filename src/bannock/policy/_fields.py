"""Fields of the session language: what each kind of value looks like, from text to a typed value.

Pure. A parser here takes what the document has and gives the value or raises pydantic's error type, which is how
pydantic collects all of them. No message repeats the value it refuses; :mod:`bannock.policy._issues` adds what
was found, and leaves it out for what may be secret.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticCustomError

from bannock.errors import InputError
from bannock.policy._access import access_entry
from bannock.policy.configuration import MODE_MAX, require_path
from bannock.policy.session import AttestationMode, Toleration
from bannock.policy.template import Template, is_placeholder
from bannock.values import FSPF_KEY_BYTES, FSPF_TAG_BYTES, FspfKey, FspfTag, Measurement, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


__all__ = [
    "CONFLICT",
    "EXPECTED",
    "EXPECTED_UNSHOWN",
    "UNSUPPORTED",
    "absent_as_empty_list",
    "absent_as_empty_mapping",
    "access",
    "advisory",
    "argument",
    "as_list",
    "attestation_mode",
    "boolean",
    "fspf_key",
    "hex_digits",
    "injection_file",
    "items",
    "measurement",
    "mode",
    "name",
    "number",
    "one_of",
    "path",
    "path_below_root",
    "secret_hex",
    "secret_text",
    "session_hash",
    "session_name",
    "tag",
    "template",
    "toleration",
    "variable_name",
    "words",
]

#: Types of the errors that parsers here raise; what was found may be shown with the first, never with the second.
EXPECTED: Final = "expected"
EXPECTED_UNSHOWN: Final = "expected_unshown"
#: Parts of a mapping do not go together; the message says all.
CONFLICT: Final = "conflict"
UNSUPPORTED: Final = "unsupported"

_NAME: Final = re.compile(r"[A-Za-z0-9_\-.~]{1,128}")
_SESSION_NAME_MAX: Final = 1024
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_NUMBER: Final = re.compile(r"[0-9]{1,6}")
_OCTAL: Final = re.compile(r"0o?([0-7]{1,4})")
_ADVISORY: Final = re.compile(r"INTEL-SA-[0-9]{5}")
_HOST_ARGUMENT: Final = re.compile(r"(?:\\?@){2}.*", re.DOTALL)
#: MAX_ARG_STRLEN of Linux: no word of a command can be longer, and a command of one text has no need to be.
_COMMAND_CHARACTERS_MAX: Final = 128 * 1024
_EMPTY: Final = ("", "~", "null")


def _expected(what: str) -> PydanticCustomError:
    return PydanticCustomError(EXPECTED, "expected {what}", {"what": what})


def _expected_unshown(what: str) -> PydanticCustomError:
    return PydanticCustomError(EXPECTED_UNSHOWN, "expected {what}", {"what": what})


def _unsupported(what: str) -> PydanticCustomError:
    return PydanticCustomError(UNSUPPORTED, "{what} is not supported yet", {"what": what})


def _require_text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise _expected(what)
    return value


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise _expected_unshown("text without NUL bytes")
    return text


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and text not in {".", ".."}


def name(value: Any) -> str:
    """Take the name of a part of a session."""
    what = "a name of 1 to 128 letters, digits, '-', '_', '.' and '~'"
    text = _require_text(value, what)
    if not _is_name(text):
        raise _expected(what)
    return text


def session_name(value: Any) -> str:
    """Take the name of a session, with the names of its namespaces before it."""
    what = "names of 1 to 128 letters, digits, '-', '_', '.' and '~', separated by '/'"
    text = _require_text(value, what)
    if len(text) > _SESSION_NAME_MAX or not all(_is_name(part) for part in text.split("/")):
        raise _expected(what)
    return text


def path(value: Any) -> str:
    """Take an absolute path; one slash at its end is dropped."""
    what = "an absolute path without '.', '..' and '//'"
    text = _require_text(value, what)
    if text != "/" and not text.endswith("//"):
        text = text.removesuffix("/")
    try:
        require_path(text)
    except InputError:
        raise _expected(what) from None
    return text


def path_below_root(value: Any) -> str:
    """Take an absolute path other than ``/``."""
    below = path(value)
    if below == "/":
        raise _expected("a path below /")
    return below


def hex_digits(count: int) -> Callable[[Any], bytes]:
    """Give a parser of exactly so many hexadecimal digits."""

    def parse(value: Any) -> bytes:
        what = f"{count} hexadecimal digits"
        text = _require_text(value, what)
        if len(text) != count or not _HEX.fullmatch(text):
            raise _expected(what)
        return bytes.fromhex(text)

    return parse


def measurement(value: Any) -> Measurement:
    """Take MRENCLAVE or MRSIGNER."""
    return Measurement(hex_digits(64)(value))


def tag(value: Any) -> FspfTag:
    """Take the tag of a file-system protection file."""
    # Not shown: where a tag is expected, users have pasted the key.
    if not isinstance(value, str) or len(value) != 2 * FSPF_TAG_BYTES or not _HEX.fullmatch(value):
        raise _expected_unshown(f"{2 * FSPF_TAG_BYTES} hexadecimal digits")
    return FspfTag(bytes.fromhex(value))


def session_hash(value: Any) -> str:
    """Take the hash of a session, in lower case from here on."""
    return hex_digits(64)(value).hex()


def fspf_key(value: Any) -> FspfKey | Template:
    """Take the key of a protection file, or the placeholder of a secret that is the key."""
    what = "64 hexadecimal digits or $$SCONE::NAME$$ of a binary secret"
    text = _require_text(value, what)
    if is_placeholder(text):
        reference = template(text)
        if len(reference.parts) != 1:
            raise _expected_unshown(what)
        return reference
    if not _HEX.fullmatch(text) or len(text) != 2 * FSPF_KEY_BYTES:
        raise _expected_unshown(what)
    return FspfKey(bytes.fromhex(text))


def template(value: Any) -> Template:
    """Take text with placeholders."""
    text = _no_nul(_require_text(value, "text"))
    try:
        return Template.parse(text)
    except InputError as error:
        raise _expected_unshown(f"well-formed placeholders: {error.message}") from None


def argument(value: Any) -> Template:
    """Take one word of a command."""
    word = template(value)
    if _HOST_ARGUMENT.fullmatch(value):
        raise _unsupported("a host argument (@@1, @@NAME)")
    return word


def words(value: Any) -> Any:
    """Split a command that is given as one text by the quoting rules of a POSIX shell."""
    if isinstance(value, str):
        if len(value) > _COMMAND_CHARACTERS_MAX:
            raise _expected_unshown(f"a command of at most {_COMMAND_CHARACTERS_MAX} characters")
        try:
            value = shlex.split(value)
        except ValueError:
            raise _expected_unshown("a command with closed quotes") from None
    if not isinstance(value, list) or not value or not value[0]:
        raise _expected_unshown("a command that names a program: text or a list of words")
    return value


def variable_name(value: Any) -> str:
    """Take the name of an environment variable."""
    text = _no_nul(_require_text(value, "a name"))
    if _HOST_ARGUMENT.fullmatch(text):
        raise _unsupported("a host environment variable (@@NAME)")
    if not text or "=" in text:
        raise _expected("the name of an environment variable, not empty and without '='")
    return text


def number(value: Any) -> int:
    """Take a whole number of at most six digits."""
    text = _require_text(value, "a whole number")
    if not _NUMBER.fullmatch(text):
        raise _expected("a whole number")
    return int(text)


def mode(value: Any) -> int:
    """Take the permissions of a file."""
    text = _require_text(value, "an octal mode")
    match = _OCTAL.fullmatch(text)
    if match is None or int(match[1], 8) > MODE_MAX:
        raise _expected("an octal mode such as 0o600, at most 0o777")
    return int(match[1], 8)


def boolean(value: Any) -> bool:
    """Take a truth value; ``yes`` and ``on`` are none, as YAML 1.2 has it."""
    text = _require_text(value, "true or false")
    if text.lower() not in {"true", "false"}:
        raise _expected("true or false")
    return text.lower() == "true"


def one_of(*allowed: str, slips: Mapping[str, str] | None = None) -> Callable[[Any], str]:
    """Give a parser of a word out of a list; ``slips`` are words that users write for one of them."""
    what = "one of " + ", ".join(allowed)

    def parse(value: Any) -> str:
        text = _require_text(value, what)
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


def access(value: Any) -> Any:
    """Take an entry of an access policy."""
    if isinstance(value, dict):
        raise _unsupported("a signer or governance rule in an access policy")
    text = _require_text(value, "CREATOR, ANY, NONE, a key hash or a certificate")
    if is_placeholder(text):
        raise _unsupported("a secret in an access policy")
    try:
        return access_entry(text)
    except InputError as error:
        raise _expected(error.message) from None


def advisory(value: Any) -> str:
    """Take an advisory, or the wildcard for all of them."""
    text = _require_text(value, "an advisory")
    if text != "*" and not _ADVISORY.fullmatch(text):
        raise _expected("an advisory such as INTEL-SA-00161, or '*' in place of the list")
    return text


def items(value: Any) -> Any:
    """Take a list, one item for a list of it, or nothing."""
    return as_list(absent_as_empty_list(value))


def secret_text(value: Any) -> Secret:
    """Take text that is not shown anywhere."""
    if not isinstance(value, str):
        raise _expected_unshown("text")
    return Secret(_no_nul(value).encode("utf-8"))


def secret_hex(value: Any) -> Secret:
    """Take an even number of hexadecimal digits that are not shown anywhere."""
    if not isinstance(value, str) or not value or not _HEX.fullmatch(value):
        raise _expected_unshown("an even number of hexadecimal digits")
    return Secret(bytes.fromhex(value))


def injection_file(value: Any) -> Any:
    """Refuse the short form, a path alone, whose content the runtime would have to read."""
    if isinstance(value, str):
        raise _unsupported("an injection file without content")
    return value


def attestation_mode(value: Any) -> str:
    """Take how services prove what they are."""
    if value == "maa":
        raise _unsupported("Microsoft Azure Attestation")
    return one_of(*AttestationMode)(value)


def toleration(value: Any) -> str:
    """Take a weakness that the session accepts."""
    if value == "maa-managed-tcb":
        raise _unsupported("Microsoft Azure Attestation")
    # The reference has the short form in an example.
    return one_of(*Toleration)("debug-mode" if value == "debug" else value)
