"""The kinds of text that manifests hold. Pure."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import Final

from bannock.errors import InputError
from bannock.images.references import ImageName
from bannock.mesh.manifests.description import Text
from bannock.policy.encryption import load_encryption_key
from bannock.values import KeyHash

__all__ = [
    "ABSOLUTE",
    "CAS_ADDRESS",
    "CAS_KEY",
    "COMMAND",
    "ENCRYPTION_KEY",
    "IMAGE",
    "LABEL",
    "LOCAL_FILE",
    "NAMESPACE",
    "PLAIN",
    "SESSION",
    "TAGGED_IMAGE",
    "VALUE_NAME",
    "VARIABLE",
    "VERSION",
]

_OLDEST: Final = (5, 8)
_VERSION: Final = re.compile(r"scone/(?P<numbers>[0-9]{1,4}(?:\.[0-9]{1,4}){0,2})")


def _version(text: str) -> str:
    match = _VERSION.fullmatch(text)
    if match is None or tuple(map(int, match["numbers"].split("."))) < _OLDEST:
        raise InputError(f"expected scone/5.8 or later, found {text[:60]!r}")
    return text


def _command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"the command cannot be split into words: {str(error).lower()}") from None
    if not words:
        raise InputError("expected a command, found nothing")
    return text


def _image(text: str) -> str:
    ImageName.parse(text)
    return text


def _tagged_image(text: str) -> str:
    _ = ImageName.parse(text).tagged
    return text


def _local_file(text: str) -> str:
    parts = text.split("/")
    if not text or text.startswith("/") or ".." in parts or any(ord(character) < ord(" ") for character in text):
        raise InputError(
            f"expected a path below the current directory, found {text[:60]!r}",
            hint="what is named in a manifest is in the directory that sconectl is called in, or below it",
        )
    return posixpath.normpath(text)


def _encryption_key(text: str) -> str:
    """Take PEM, or the base64 of it in one line, which shells can put into a manifest; give PEM."""
    if "-----" in text:
        pem = text
    else:
        body = "".join(text.split())
        lines = [body[start : start + 64] for start in range(0, len(body), 64)]
        pem = "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])
    try:
        load_encryption_key(pem.encode("utf-8"))
    except InputError:
        raise InputError(
            "expected the session-encryption key of a CAS, a P-256 public key in PEM or its base64 in one line",
            hint="kubectl provision cas NAME --print-public-keys prints it",
        ) from None
    return pem


def _cas_key(text: str) -> str:
    return str(KeyHash.from_base58(text))


#: Text of any form.
PLAIN: Final = Text()
VERSION: Final = Text(what="scone/5.8 or later", convert=_version)
#: A name that services, charts and policies can have.
LABEL: Final = Text(
    what="a name of 1 to 63 letters, digits, '-', '_' and '.', which begins with a letter or a digit",
    pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}"),
)
#: A name of an environment variable.
VARIABLE: Final = Text(
    what="the name of a variable: letters, digits and '_'", pattern=re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
)
#: What is defined in a mesh: names of variables and values of its chart.
VALUE_NAME: Final = Text(
    what="the name of a value: letters, digits, '_', '-' and '.'",
    pattern=re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,255}"),
)
NAMESPACE: Final = Text(
    what="a namespace of letters, digits, '-', '_', '.' and '~', with '/' between names",
    pattern=re.compile(r"[A-Za-z0-9_\-.~]{1,128}(?:/[A-Za-z0-9_\-.~]{1,128}){0,7}"),
)
SESSION: Final = NAMESPACE
IMAGE: Final = Text(what="the name of an image", convert=_image)
TAGGED_IMAGE: Final = Text(what="the name of an image with a tag", convert=_tagged_image)
ABSOLUTE: Final = Text(what="an absolute path", pattern=re.compile(r"/[^\x00-\x1f]{0,4094}"))
LOCAL_FILE: Final = Text(what="a path below the current directory", convert=_local_file)
COMMAND: Final = Text(what="a command with its arguments", convert=_command)
CAS_ADDRESS: Final = Text(
    what="the address of a CAS, as HOST or HOST:PORT",
    pattern=re.compile(r"(?:https://)?(?:[A-Za-z0-9\-._]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?/?"),
)
CAS_KEY: Final = Text(what="the key of a CAS in base58", convert=_cas_key)
ENCRYPTION_KEY: Final = Text(what="the session-encryption key of a CAS", convert=_encryption_key)
