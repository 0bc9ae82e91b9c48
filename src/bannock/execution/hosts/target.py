"""Where a host is, who is who there, and the words of ``ssh`` for it. Pure.

Nothing of the user's own configuration of ssh counts: no agent, no password, no known hosts but the ones pinned here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.net.address import Address

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SSH_PORT", "SshTarget", "checked_alias", "checked_hostname", "checked_user"]

SSH_PORT: Final = 22
#: Also names of directories and of host keys, so nothing in them means anything to ssh or to a shell.
_ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
#: useradd(8), and the names that directories of domains have; nothing that an option could begin with.
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._@+-]{0,63}")
#: What a shell leaves alone: the line that grants access holds the name.
_HOSTNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.?")
#: A connection is given up when nothing has come for the product of the two.
_ALIVE_SECONDS: Final = 5
_ALIVE_TIMES: Final = 3
#: OpenSSH's own first choice is ChaCha20, which processors have no instructions for.
_CIPHERS: Final = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """One host as ssh is told of it.

    Attributes:
        alias: what users call it, and what its host key is filed under.
        hostname, port, user: where it is, and who one is there.
        key: file of the private key.
        known_hosts: file of the pinned host keys.
    """

    alias: str
    hostname: str
    port: int
    user: str
    key: Path
    known_hosts: Path

    def words(self, *, seconds: int, pin: bool = False) -> list[str]:
        """Return ``ssh`` and its options, without the host.

        Args:
            seconds: that connecting may take.
            pin: whether a host without a pinned key is believed and its key pinned; a changed key never is.
        """
        options = {
            "BatchMode": "yes",
            "Ciphers": _CIPHERS,
            "ClearAllForwardings": "no",
            "ConnectTimeout": str(seconds),
            "EscapeChar": "none",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": self.alias,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": _quoted(self.key),
            "LogLevel": "ERROR",
            "PreferredAuthentications": "publickey",
            "ServerAliveCountMax": str(_ALIVE_TIMES),
            "ServerAliveInterval": str(_ALIVE_SECONDS),
            "StrictHostKeyChecking": "accept-new" if pin else "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": _quoted(self.known_hosts),
        }
        # Without the configuration of the user, in which anything may stand.
        return ["ssh", "-F", "none", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]

    @property
    def place(self) -> list[str]:
        """The words that say which host is meant."""
        return ["-p", str(self.port), "-l", self.user, "--", self.hostname]

    def __str__(self) -> str:
        return f"{self.user}@{Address(self.hostname, self.port)}"


def checked_alias(text: str) -> str:
    """Return an alias that is one.

    Raises:
        InputError: it is not.
    """
    if not _ALIAS.fullmatch(text):
        raise InputError(
            f"an alias of a host has at most 63 small letters, digits, dots, hyphens, underscores; found {text[:80]!r}"
        )
    return text


def checked_user(text: str) -> str:
    """Return the name of a user that is one.

    Raises:
        InputError: it is not.
    """
    if not _USER.fullmatch(text):
        raise InputError(f"a user of a host has a name of letters, digits, dots and hyphens; found {text[:80]!r}")
    return text


def checked_hostname(text: str) -> str:
    """Return a host name or an IP address that is one.

    Raises:
        InputError: it is not.
    """
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    if not _HOSTNAME.fullmatch(text) or ":" in text:
        raise InputError(
            f"--hostname is the name or the IP address of a host, found {text[:80]!r}",
            hint="the user and the port have options of their own: --user, --port"
            if "@" in text or ":" in text
            else None,
        )
    return Address.parse(text, default_port=SSH_PORT).host


def _quoted(path: Path) -> str:
    """Write a path for an option of ssh, which splits at white space and replaces what follows a percent sign.

    Raises:
        InputError: there is no way to write it.
    """
    text = str(path)
    if '"' in text or "\\" in text or not text.isprintable():
        raise InputError(
            f"ssh cannot use files in {str(path.parent)!r}", hint="take a directory with a plainer name: --conf"
        )
    return f'"{text.replace("%", "%%")}"'
