"""Templates: text of a session in which ``$$SCONE::NAME:FORMAT|escape(json)$$`` stands for a secret.

Pure. A template is split once, when the session is parsed, so a value can never bring in a further placeholder.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.values import Secret

__all__ = ["FORMATS", "Placeholder", "SecretKind", "Template", "is_placeholder"]

_OPENING: Final = "$$SCONE::"
_PLACEHOLDER: Final = re.compile(r"\$\$SCONE::(?P<body>[^$]*)\$\$")
_BODY: Final = re.compile(
    r"(?P<name>[A-Za-z0-9_\-.~]{1,128})(?::(?P<format>[a-z0-9:\-]{1,64}))?(?P<escape>\|escape\(json\))?"
)


class SecretKind(StrEnum):
    """The kinds of secrets, by their names in the session language."""

    ASCII = "ascii"
    BINARY = "binary"
    PRIVATE_KEY = "private-key"
    X509 = "x509"
    X509_CA = "x509-ca"
    SESSION_CA = "session-ca"
    PGP_KEY = "pgp-key"
    CONFIG_FRAGMENT = "config-fragment"
    AAD_TOKEN = "aad-token"  # noqa: S105 - the name of a kind


#: Per kind: what each format suffix makes of the value. An empty suffix is the kind's default.
FORMATS: Final[Mapping[SecretKind, Mapping[str, Callable[[bytes], bytes]]]] = {
    SecretKind.ASCII: {"": bytes},
    SecretKind.BINARY: {
        "": bytes,
        "bin": bytes,
        "hex": lambda value: value.hex().encode("ascii"),
        "base64": base64.b64encode,
        "base64url": base64.urlsafe_b64encode,
        "base32": base64.b32encode,
        "base32nopad": lambda value: base64.b32encode(value).rstrip(b"="),
    },
}

_RAW_FORMATS: Final = frozenset({(SecretKind.BINARY, ""), (SecretKind.BINARY, "bin")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """One reference to a secret.

    Attributes:
        name: of the secret.
        format: the suffix, empty for the kind's default.
        escape_json: whether the formatted value is escaped for use inside a JSON string.
    """

    name: str
    format: str = ""
    escape_json: bool = False

    @classmethod
    def parse(cls, body: str) -> Self:
        """Parse what stands between ``$$SCONE::`` and ``$$``.

        Raises:
            InputError: it is not of the form NAME, NAME:FORMAT, each with or without ``|escape(json)``.
        """
        match = _BODY.fullmatch(body)
        if match is None:
            raise InputError(
                "a placeholder is $$SCONE::NAME$$, $$SCONE::NAME:FORMAT$$ or $$SCONE::NAME|escape(json)$$"
            )
        name, suffix = match["name"], match["format"] or ""
        if not suffix and name.endswith(".hex"):
            # Deprecated spelling of ":hex" in the session language before 0.3.5.
            name, suffix = name.removesuffix(".hex"), "hex"
        return cls(name=name, format=suffix, escape_json=match["escape"] is not None)

    def require_fit(self, kind: SecretKind, *, as_text: bool) -> None:
        """Accept the format for a secret of this kind.

        Args:
            kind: of the secret that is referred to.
            as_text: whether the place can hold text alone (arguments and environment do, files do not).

        Raises:
            InputError: the kind has no such format, or the format gives bytes where text is needed.
        """
        known = FORMATS[kind]
        if self.format not in known:
            allowed = ", ".join(f":{name}" for name in known if name) or "no suffix"
            raise InputError(f"a secret of kind {kind} has no format :{self.format}, allowed: {allowed}")
        if (kind, self.format) in _RAW_FORMATS and (as_text or self.escape_json):
            raise InputError(f"binary secret {self.name!r} needs a format that is text here, such as :hex or :base64")

    def render(self, kind: SecretKind, value: Secret) -> bytes:
        """Give the value in the format asked for."""
        formatted = FORMATS[kind][self.format](value.reveal())
        if not self.escape_json:
            return formatted
        return json.dumps(formatted.decode("utf-8"), ensure_ascii=False)[1:-1].encode("utf-8")


@dataclass(frozen=True, slots=True, repr=False)
class Template:
    """Text with placeholders; its literal parts may hold what must not be shown, so ``repr`` shows names alone."""

    parts: tuple[str | Placeholder, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split text at its placeholders.

        Raises:
            InputError: a placeholder is malformed or lacks its closing ``$$``.
        """
        parts: list[str | Placeholder] = []
        end = 0
        for match in _PLACEHOLDER.finditer(text):
            parts += _literal(text[end : match.start()])
            parts.append(Placeholder.parse(match["body"]))
            end = match.end()
        parts += _literal(text[end:])
        return cls(tuple(parts))

    @property
    def placeholders(self) -> Iterator[Placeholder]:
        """Every reference in the text, in its order."""
        return (part for part in self.parts if isinstance(part, Placeholder))

    @property
    def literal(self) -> str:
        """The text without its placeholders."""
        return "".join(part for part in self.parts if isinstance(part, str))

    def fill(self, secret: Callable[[Placeholder], bytes]) -> bytes:
        """Put a value in place of every placeholder."""
        return b"".join(part.encode("utf-8") if isinstance(part, str) else secret(part) for part in self.parts)

    def __repr__(self) -> str:
        names = ", ".join(placeholder.name for placeholder in self.placeholders)
        return f"Template({names})" if names else "Template(…)"


def is_placeholder(text: str) -> bool:
    """Whether text has what opens a placeholder."""
    return _OPENING in text


def _literal(text: str) -> list[str | Placeholder]:
    if _OPENING in text:
        raise InputError("a placeholder lacks its closing $$")
    return [text] if text else []
