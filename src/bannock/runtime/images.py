"""File-system images that a run is made of: opened, and only their lists read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Self

from bannock.errors import InputError
from bannock.identity.image import Contents, read_contents

__all__ = ["OpenImage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenImage:
    """An image of which only the list has been read.

    Attributes:
        path: where it is in the enclave.
        descriptor: the open file, which stays open until the process ends.
        contents: its list.
        head: the bytes at its start that have the list.
    """

    path: str
    descriptor: int
    contents: Contents
    head: bytes

    @classmethod
    def open(cls, path: str) -> Self:
        """Open an image.

        Raises:
            InputError: it cannot be read, or is no image.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise InputError(f"{path} is not a regular file")
                contents, head = read_contents(path, lambda offset, size: os.pread(descriptor, size, offset))
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        return cls(path=path, descriptor=descriptor, contents=contents, head=head)
