"""Templates: text of a session in which ``$$SCONE::NAME:FORMAT|escape(json)$$`` stands for a secret.

Pure. A template is split once, when the session is parsed, so a value can never bring in a further placeholder.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.policy.certificates import CertificateBundle
from bannock.policy.pgp import armored_private, armored_public, public_part
from bannock.policy.private_keys import private_key_der, private_key_pem, read_private_key

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

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


def _as_hex(value: bytes) -> bytes:
    return value.hex().encode("ascii")


def _fragment(value: bytes) -> bytes:
    """Give text as it is, and any other structure as JSON."""
    structure = json.loads(value)
    return structure.encode("utf-8") if isinstance(structure, str) else value


def _key_pem(value: bytes) -> bytes:
    return private_key_pem(read_private_key(value, known=True)).reveal()


def _key_der(value: bytes) -> bytes:
    return private_key_der(read_private_key(value, known=True)).reveal()


def _certificate(value: bytes) -> bytes:
    return CertificateBundle.from_pem(value).certificate_pem


def _certificate_der(value: bytes) -> bytes:
    return CertificateBundle.from_pem(value).certificate_der


def _certified_key(value: bytes) -> bytes:
    return private_key_pem(CertificateBundle.from_pem(value).key()).reveal()


def _certified_key_der(value: bytes) -> bytes:
    return private_key_der(CertificateBundle.from_pem(value).key()).reveal()


def _chain(value: bytes) -> bytes:
    return CertificateBundle.from_pem(value).chain_pem


def _reversed_chain(value: bytes) -> bytes:
    return CertificateBundle.from_pem(value).reversed_chain_pem


#: Suffixes of language versions before 0.3.5 follow a dot, and are no part of a name that the session does not have.
_CERTIFICATE_FORMATS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "": _certificate,
    "crt": _certificate,
    "crt:pem": _certificate,
    "crt:der": _certificate_der,
    "privatekey": _certified_key,
    "privatekey:pem": _certified_key,
    "privatekey:pkcs8:pem": _certified_key,
    "privatekey:der": _certified_key_der,
    "privatekey:pkcs8:der": _certified_key_der,
    "chain": _chain,
    "pkcs12-with-private-key": lambda value: CertificateBundle.from_pem(value).to_pkcs12(),
    ".crt": _certificate,
    ".key": _certified_key,
    ".chain": _reversed_chain,
}

#: Per kind: what each format suffix makes of the value. An empty suffix is the kind's default.
FORMATS: Final[Mapping[SecretKind, Mapping[str, Callable[[bytes], bytes]]]] = {
    SecretKind.ASCII: {"": bytes},
    SecretKind.BINARY: {
        "": bytes,
        "bin": bytes,
        "hex": _as_hex,
        "base64": base64.b64encode,
        "base64url": base64.urlsafe_b64encode,
        "base32": base64.b32encode,
        "base32nopad": lambda value: base64.b32encode(value).rstrip(b"="),
        ".hex": _as_hex,
    },
    SecretKind.PRIVATE_KEY: {
        "": _key_pem,
        "pem": _key_pem,
        "pkcs8:pem": _key_pem,
        "der": _key_der,
        "pkcs8:der": _key_der,
    },
    SecretKind.X509: _CERTIFICATE_FORMATS,
    SecretKind.X509_CA: _CERTIFICATE_FORMATS,
    # Only its certificate can be had; its key stays in CAS.
    SecretKind.SESSION_CA: {
        suffix: convert
        for suffix, convert in _CERTIFICATE_FORMATS.items()
        if convert in {_certificate, _certificate_der, _chain, _reversed_chain}
    },
    SecretKind.PGP_KEY: {
        "privatekey:asciiarmored": armored_private,
        "privatekey:binary": bytes,
        "privatekey:base64": base64.b64encode,
        "publickey:asciiarmored": armored_public,
        "publickey:binary": public_part,
        "publickey:base64": lambda value: base64.b64encode(public_part(value)),
    },
    SecretKind.CONFIG_FRAGMENT: {"": _fragment},
    SecretKind.AAD_TOKEN: {"": bytes},
}

_RAW_FORMATS: Final = frozenset(
    {
        (SecretKind.BINARY, ""),
        (SecretKind.BINARY, "bin"),
        (SecretKind.PRIVATE_KEY, "der"),
        (SecretKind.PRIVATE_KEY, "pkcs8:der"),
        (SecretKind.PGP_KEY, "privatekey:binary"),
        (SecretKind.PGP_KEY, "publickey:binary"),
    }
    | {
        (kind, suffix)
        for kind in (SecretKind.X509, SecretKind.X509_CA, SecretKind.SESSION_CA)
        for suffix in ("crt:der", "privatekey:der", "privatekey:pkcs8:der", "pkcs12-with-private-key")
    }
)

#: Suffixes of language versions before 0.3.5, which are part of what looks like a name.
_DOTTED: Final = (".crt", ".key", ".chain", ".hex")


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
        dotted = next((end for end in _DOTTED if not suffix and name.endswith(end) and name != end), "")
        return cls(name=name.removesuffix(dotted), format=dotted or suffix, escape_json=match["escape"] is not None)

    def within(self, names: Container[str]) -> Placeholder:
        """Give what is meant where there are secrets of these names: one whose own name ends with ``.key`` goes first.

        >>> Placeholder.parse("tls.key").within({"tls.key"}).name
        'tls.key'
        """
        whole = self.name + self.format
        if self.format.startswith(".") and whole in names:
            return replace(self, name=whole, format="")
        return self

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
            allowed = ", ".join(_spelled(name) for name in known if name) or "no suffix"
            found = f"no format {_spelled(self.format)}" if self.format else "no format without a suffix"
            raise InputError(f"a secret of kind {kind} has {found}, allowed: {allowed}")
        if (kind, self.format) in _RAW_FORMATS and (as_text or self.escape_json):
            text = [name for name in known if name and not name.startswith(".") and (kind, name) not in _RAW_FORMATS]
            raise InputError(
                f"{kind} secret {self.name!r} needs a format that is text here, such as "
                + " or ".join(_spelled(name) for name in text[:2])
            )

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


def _spelled(suffix: str) -> str:
    return suffix if suffix.startswith(".") else f":{suffix}"


def is_placeholder(text: str) -> bool:
    """Whether text has what opens a placeholder."""
    return _OPENING in text


def _literal(text: str) -> list[str | Placeholder]:
    if _OPENING in text:
        raise InputError("a placeholder lacks its closing $$")
    return [text] if text else []
