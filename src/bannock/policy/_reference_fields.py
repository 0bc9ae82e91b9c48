"""Fields of references to other sessions: names, relative names, keys of CASes, and the short form in one line.

Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticCustomError

from bannock.errors import InputError
from bannock.policy import _fields as fields
from bannock.values import KeyHash

if TYPE_CHECKING:
    from pydantic import ValidationInfo

__all__ = ["as_mapping", "cas_address", "cas_key", "session"]

#: Names of language version 0.1 have colons.
_PART: Final = re.compile(r"[A-Za-z0-9_\-.~:]{1,128}")
_PINNED: Final = re.compile(r"(?P<name>.+):(?P<digest>[0-9A-Fa-f]{64})", re.DOTALL)
_ADDRESS: Final = re.compile(
    r"(?:https://)?(?P<host>(?:[A-Za-z0-9\-._]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?)/?"
)
_RELATIVE: Final = (".", "..")
_LEAF: Final = "session=NAME (and session_hash, cas_key or cas_software_key), separated by commas"


def session(value: Any, info: ValidationInfo) -> str:
    """Take the name of another session, and make it absolute."""
    what = "the name of a session, or a relative one that begins with ../ or ./"
    text = fields.require_text(value, what)
    parts = text.split("/")
    up = 0
    if parts[0] in _RELATIVE:
        while parts and parts[0] in _RELATIVE:
            up += parts.pop(0) == ".."
        own = info.context.name if info.context is not None else None
        # Without a name of its own the document has an issue already.
        base = own.split("/") if own is not None else ["session"] * (up + 1)
        if up > len(base) or not base[: len(base) - up] + parts:
            raise PydanticCustomError(fields.CONFLICT, "the relative name leads out of all namespaces")
        parts = base[: len(base) - up] + parts
    if len("/".join(parts)) > fields.SESSION_NAME_MAX or not all(_is_part(part) for part in parts):
        raise fields.expected(what)
    return "/".join(parts)


def cas_key(value: Any) -> KeyHash:
    """Take the key of a CAS, as the CLI shows it."""
    what = "the key of a CAS in base58, as scone cas show-identification prints it"
    try:
        return KeyHash.from_base58(fields.require_text(value, what))
    except InputError:
        raise fields.expected(what) from None


def cas_address(value: Any) -> str:
    """Take where another CAS is: a host, with a port where it is not the usual one."""
    what = "the address of a CAS, HOST or HOST:PORT"
    match = _ADDRESS.fullmatch(fields.require_text(value, what))
    if match is None:
        raise fields.expected(what)
    return match["host"]


def as_mapping(value: Any) -> Any:
    """Take a reference in one text for the mapping that it stands for.

    >>> as_mapping("cas.example.com/cas_key=K,session=a/b")
    {'cas_url': 'cas.example.com', 'cas_key': 'K', 'session': 'a/b'}
    """
    if not isinstance(value, str):
        return value
    if "=" in value:
        return _short_form(value)
    pinned = _PINNED.fullmatch(value)
    return {"session": value} if pinned is None else {"session": pinned["name"], "session_hash": pinned["digest"]}


def _short_form(text: str) -> dict[str, str]:
    scheme = "https://" if text.startswith("https://") else ""
    host, slash, rest = text.removeprefix(scheme).partition("/")
    if not slash:
        raise fields.expected(f"HOST/ or / followed by {_LEAF}")
    members: dict[str, str] = {"cas_url": scheme + host} if host else {}
    for part in rest.split(","):
        key, equals, member = part.partition("=")
        if not equals or not key or key in members:
            raise fields.expected(f"HOST/ or / followed by {_LEAF}")
        if member.startswith(("./", "../")):
            raise PydanticCustomError(
                fields.CONFLICT, "a relative name cannot be in the short form: write a mapping with session"
            )
        members[key] = member
    return members


def _is_part(text: str) -> bool:
    return _PART.fullmatch(text) is not None and text not in _RELATIVE
