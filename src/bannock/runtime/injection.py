"""Injected files: those that the session has the content of, and those that are in the image and name secrets.

A file of the image is read as the application would, through the shield, and only the secrets that it names are asked
for. It is then in memory like the others: nothing that the application changes in it is kept.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from bannock import linux
from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.policy.configuration import InjectedFile

__all__ = [
    "FILE_BYTES_MAX",
    "ApplicationRoot",
    "SecretSource",
    "fill_file",
    "inject",
    "placeholders_of",
    "read_file",
]

#: A file that secrets are put into is a configuration of some pages.
FILE_BYTES_MAX: Final = 16 << 20

#: Gives what stands for each of some placeholders.
SecretSource: TypeAlias = Callable[[Collection[str]], Mapping[str, bytes]]

_OPENING: Final = b"$$SCONE::"
_PLACEHOLDER: Final = re.compile(rb"\$\$SCONE::(?P<body>[^$]*)\$\$")
#: A name, a format and ``|escape(json)``.
_BODY_BYTES_MAX: Final = 256
_PLACEHOLDERS_MAX: Final = 1000


class ApplicationRoot(Protocol):
    """What the application sees."""

    @property
    def top(self) -> Path | None:
        """Where the application's root is, if it has one of its own."""
        ...

    def place(self, path: Path, content: bytes, mode: int) -> object:
        """Let a file appear that exists in memory only."""
        ...


def inject(files: Sequence[InjectedFile], root: ApplicationRoot, secrets: SecretSource) -> None:
    """Put files in place.

    Raises:
        InputError: a file that has no content is not there, or what it names is no secret of the session.
        BannockError: a file cannot be read or placed, or the CAS could not be asked.
    """
    found = {file.path: read_file(root.top or Path("/"), file.path) for file in files if file.content is None}
    named = sorted({body for path, content in found.items() for body in placeholders_of(path, content)})
    if len(named) > _PLACEHOLDERS_MAX:
        raise InputError(f"injected files name {len(named)} secrets, at most {_PLACEHOLDERS_MAX} are allowed")
    values = secrets(named) if named else {}
    for file in files:
        content = fill_file(found[file.path], values) if file.content is None else file.content.reveal()
        root.place(Path(file.path), content, file.mode)


def read_file(top: Path, path: str) -> bytes:
    """Return a file as an application sees it that has ``top`` for its root, through what is mounted there.

    Raises:
        InputError: it is not there, no file, or longer than :data:`FILE_BYTES_MAX`.
        EnvironmentFault: it cannot be read, because it is damaged, say.
    """
    try:
        root = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = linux.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
        finally:
            os.close(root)
        try:
            content = _read(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"the session injects secrets into {path}, and there is no such file",
            hint="add the file to the image, or give its content in the session",
        ) from error
    except OSError as error:
        raise EnvironmentFault(f"cannot read {path} to inject secrets: {error.strerror}") from error
    if content is None or len(content) > FILE_BYTES_MAX:
        raise InputError(
            f"the session injects secrets into {path}, which is no file of at most {FILE_BYTES_MAX} bytes"
        )
    return content


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(FILE_BYTES_MAX + 1)


def placeholders_of(path: str, content: bytes) -> frozenset[str]:
    """Give what is between ``$$SCONE::`` and ``$$`` in a file.

    Raises:
        InputError: a placeholder lacks its end, or is none.
    """
    for number, line in enumerate(content.split(b"\n"), start=1):
        if _OPENING in _PLACEHOLDER.sub(b"", line):
            raise InputError(f"a placeholder lacks its closing $$ in line {number} of {path}")
    bodies = {match["body"] for match in _PLACEHOLDER.finditer(content)}
    if any(len(body) > _BODY_BYTES_MAX or not body.isascii() for body in bodies):
        raise InputError(f"{path} has a placeholder that names no secret: $$SCONE::NAME$$ or $$SCONE::NAME:FORMAT$$")
    return frozenset(body.decode("ascii") for body in bodies)


def fill_file(content: bytes, values: Mapping[str, bytes]) -> bytes:
    """Put values in place of placeholders; a value that looks like one stays as it is."""
    return _PLACEHOLDER.sub(lambda match: values[match["body"].decode("ascii")], content)
