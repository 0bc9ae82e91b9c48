"""Who one is at a registry: from the file that ``docker login`` writes, or the helper that it names."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError
from bannock.files import read_bounded
from bannock.images.fields import Fields, parse_object
from bannock.values import Secret

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Credentials", "Login"]

_FILE_BYTES_MAX: Final = 1 << 20
#: What the file calls Docker's own registry.
_HUB: Final = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS: Final = 60
#: The name that helpers give with a token in place of a password.
_TOKEN_NAME: Final = "<token>"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A name and a password, or a token that is good for others.

    Attributes:
        name: of the user; empty with a token.
        secret: the password or the token.
    """

    name: str
    secret: Secret

    @property
    def is_token(self) -> bool:
        """Whether the secret is a token."""
        return not self.name

    def basic(self) -> str:
        """Give the value of the header ``Authorization``: a secret."""
        return "Basic " + base64.b64encode(f"{self.name}:".encode() + self.secret.reveal()).decode("ascii")


class Credentials:
    """The logins of a user.

    Args:
        path: Docker's ``config.json``; that it is not there means no login.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def login(self, registry: str) -> Login | None:
        """Find the login for a registry.

        Raises:
            InputError: the file cannot be read as what it has to be; nothing of it is repeated.
            EnvironmentFault: the helper that it names cannot be asked.
        """
        if not self._path.exists():
            return None
        what = f"{self._path}"
        fields = Fields(parse_object(read_bounded(self._path, _FILE_BYTES_MAX), what), what)
        names = _HUB if registry == "docker.io" else (registry, f"https://{registry}", f"http://{registry}")
        helpers = fields.mapping("credHelpers")
        helper = next((helpers[name] for name in names if name in helpers), fields.text("credsStore"))
        if helper:
            return self._ask(helper, names[0])
        logins = Fields(fields.values.get("auths"), f"{what}: auths").values
        for name, entry in logins.items():
            if name.rstrip("/") in {one.rstrip("/") for one in names} and isinstance(entry, dict):
                return self._kept(entry, registry)
        return None

    def _kept(self, entry: dict[str, object], registry: str) -> Login | None:
        token, packed = entry.get("identitytoken"), entry.get("auth")
        if isinstance(token, str) and token:
            return Login(name="", secret=Secret(token.encode()))
        if not isinstance(packed, str) or not packed:
            return None
        try:
            name, colon, password = base64.b64decode(packed, validate=True).partition(b":")
            text = name.decode("utf-8")
        except ValueError:
            colon, text, password = b"", "", b""
        if not colon or not text:
            raise InputError(f"the login for {registry} in {self._path} is malformed", hint=f"docker login {registry}")
        return Login(name=text, secret=Secret(password.rstrip(b"\0")))

    def _ask(self, helper: str, server: str) -> Login | None:
        """Ask a credential helper of Docker; it is a program on the search path."""
        if not _HELPER.fullmatch(helper):
            raise InputError(f"{self._path} names a credential helper {helper[:40]!r}, which is no name of a program")
        program = f"docker-credential-{helper}"
        try:
            answer = subprocess.run(
                [program, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFault(
                f"cannot ask {program} for the login at {server}: {type(error).__name__}",
                hint=f"install {program}, or take it out of {self._path}",
            ) from None
        if answer.returncode != 0:
            # Having no login is told by a text, and differently by each helper.
            return None
        try:
            told = json.loads(answer.stdout)
            name, secret = str(told["Username"]), str(told["Secret"])
        except (ValueError, KeyError, TypeError):
            raise EnvironmentFault(f"{program} answered with something other than a login") from None
        return Login(name="" if name == _TOKEN_NAME else name, secret=Secret(secret.encode()))
