"""Fields of services and of their security: commands, variables, shared secrets, and what is tolerated.

Pure. As :mod:`bannock.policy._fields`.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticCustomError

from bannock.policy import _fields as fields
from bannock.policy.session import Toleration
from bannock.policy.template import Template, is_placeholder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.values import Secret

__all__ = [
    "advisory",
    "argument",
    "host_arguments",
    "injection_file",
    "maa_url",
    "no_board",
    "no_persistency",
    "one_time_password_secret",
    "service_access_token",
    "toleration",
    "variable_name",
    "words",
]

_ADVISORY: Final = re.compile(r"INTEL-SA-[0-9]{5}")
#: The reference escapes the signs, which users copy.
_HOST: Final = re.compile(r"(?:\\?@){2}(?P<what>.*)", re.DOTALL)
_POSITION: Final = re.compile(r"[1-9][0-9]{0,3}|\*")
_MAA_URL: Final = re.compile(r"https://[A-Za-z0-9\-]{1,63}\.[A-Za-z0-9\-]{1,63}\.attest\.azure\.net/?")
#: At least 128 bits in base32 (RFC 4648), with padding or without.
_SHARED_SECRET: Final = re.compile(r"[A-Z2-7]{26,1024}=*")
#: MAX_ARG_STRLEN of Linux: no word of a command can be longer, and a command of one text has no need to be.
_COMMAND_CHARACTERS_MAX: Final = 128 * 1024


def words(value: Any) -> Any:
    """Split a command that is given as one text by the quoting rules of a POSIX shell."""
    if isinstance(value, str):
        if len(value) > _COMMAND_CHARACTERS_MAX:
            raise fields.expected_unshown(f"a command of at most {_COMMAND_CHARACTERS_MAX} characters")
        try:
            value = shlex.split(value)
        except ValueError:
            raise fields.expected_unshown("a command with closed quotes") from None
    if not isinstance(value, list) or not value or not value[0]:
        raise fields.expected_unshown("a command that names a program: text or a list of words")
    return value


def argument(value: Any) -> Template:
    """Take one word of a command; one that the host gives is ``@@`` and its position, or ``@@*`` for the others."""
    word = fields.template(value)
    host = _HOST.fullmatch(value)
    if host is None:
        return word
    if not _POSITION.fullmatch(host["what"]):
        raise fields.expected("@@ and a position from 1, or @@*, for an argument that the host gives")
    return Template((f"@@{host['what']}",))


def host_arguments(command: Sequence[Template]) -> Sequence[Template]:
    """Accept the places of what the host gives: never the program itself, and nothing twice."""
    given = [word.literal for word in command if _HOST.fullmatch(word.literal) and not list(word.placeholders)]
    twice = next((word for word in given if given.count(word) > 1), None)
    if twice is not None:
        raise PydanticCustomError(fields.CONFLICT, "the host argument {word} is there twice", {"word": twice})
    if command and command[0].literal in given:
        raise PydanticCustomError(fields.CONFLICT, "the program itself cannot be an argument of the host")
    return command


def variable_name(value: Any) -> str:
    """Take the name of an environment variable; with ``@@`` before it, of one that the host gives."""
    text = fields.no_nul(fields.require_text(value, "a name"))
    host = _HOST.fullmatch(text)
    name = text if host is None else host["what"]
    if not name or "=" in name:
        raise fields.expected("the name of an environment variable, not empty and without '='")
    return text if host is None else f"@@{name}"


def service_access_token(value: Any) -> Secret:
    """Take a token of any length but none."""
    token = fields.secret_text(value)
    if not token.reveal():
        raise fields.expected_unshown("a token that is not empty")
    return token


def one_time_password_secret(value: Any) -> Template:
    """Take the shared secret of one-time passwords, or the placeholder of a secret that is it."""
    what = "a shared secret of at least 128 bits in base32 (26 letters and digits), or $$SCONE::NAME$$ of a secret"
    if not isinstance(value, str):
        raise fields.expected_unshown(what)
    secret = fields.template(value)
    if not (_SHARED_SECRET.fullmatch(value) or (len(secret.parts) == 1 and is_placeholder(value))):
        raise fields.expected_unshown(what)
    return secret


def injection_file(value: Any) -> Any:
    """Take a path alone for the file at it."""
    return {"path": value} if isinstance(value, str) else value


def no_persistency(value: Any) -> None:
    """Take ``persistency`` of older tools, which never was more than a word for nothing."""
    if not isinstance(value, str) or value.lower() not in {"", "~", "null", "none"}:
        raise fields.expected("none: what a service keeps is in its volumes")


def no_board(value: Any) -> None:
    """Take an empty board of language version 0.1, whose members had to approve of changes."""
    empty = value in ("", "~", "null", [], {}) or (
        isinstance(value, dict) and set(value) <= {"minimum", "timeout"} and value.get("minimum", "0") == "0"
    )
    if not empty:
        raise fields.expected("none: a board is require-at-least-N in access_policy since version 0.3.10")


def maa_url(value: Any) -> str:
    """Take the address of an attestation provider."""
    what = "https://TENANT.REGION.attest.azure.net"
    address = fields.require_text(value, what)
    if not _MAA_URL.fullmatch(address):
        raise fields.expected(what)
    return address.removesuffix("/")


def toleration(value: Any) -> str:
    """Take a weakness that the session accepts."""
    # The reference has the short form in an example.
    return fields.one_of(*Toleration)("debug-mode" if value == "debug" else value)


def advisory(value: Any) -> str:
    """Take an advisory, or the wildcard for all of them."""
    text = fields.require_text(value, "an advisory")
    if text != "*" and not _ADVISORY.fullmatch(text):
        raise fields.expected("an advisory such as INTEL-SA-00161, or '*' in place of the list")
    return text
