"""Where a service listens: a host and a port, and their one text form.

Pure.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from bannock.errors import InputError

__all__ = ["Address"]

_PORT_MAX: Final = 65535
#: A host name has at most 253 characters (RFC 1035, section 2.3.4), an address far fewer.
_HOST_CHARACTERS_MAX: Final = 253
_LABEL_CHARACTERS_MAX: Final = 63


class Address(NamedTuple):
    """A host (name or IP address) and a TCP port; port 0 lets the kernel choose where one listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, default_port: int) -> Self:
        """Parse ``HOST``, ``HOST:PORT``, ``[IPV6]`` or ``[IPV6]:PORT``.

        Raises:
            InputError: it is anything else.
        """
        if text.startswith("["):
            host, closing, rest = text[1:].partition("]")
            port = rest.removeprefix(":") if rest else str(default_port)
            well_formed = bool(closing) and (not rest or rest.startswith(":"))
        else:
            host, colon, port = text.partition(":")
            port = port if colon else str(default_port)
            well_formed = ":" not in port
        if not well_formed or not _is_host(host) or not _is_port(port):
            raise InputError(f"an address is HOST or HOST:PORT, found {text[:80]!r}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_host(text: str) -> bool:
    """Whether a text can be a host's: printable ASCII, and no part between dots that is empty or over-long."""
    parts = text.removesuffix(".").split(".")
    bounded = len(text) <= _HOST_CHARACTERS_MAX and all(0 < len(part) <= _LABEL_CHARACTERS_MAX for part in parts)
    return bounded and text.isascii() and text.isprintable() and not set(text) & set(" /@")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_PORT_MAX)) and int(text) <= _PORT_MAX
