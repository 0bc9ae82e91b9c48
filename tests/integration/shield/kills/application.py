"""The application of the whole: an ordinary program that keeps records and files, and says what it has fsynced.

It knows nothing of protection: it is started as ``python application.py DIRECTORY SAID`` by the runtime, in a volume
that is mounted by FUSE. It imports nothing but what an interpreter has at its start.
"""

import os
import sys
import zlib

_FILES = 5
_RECORD = 16


def _content(number: int) -> bytes:
    """Return what a file has in state ``number``."""
    return b"%016d" % (number * 7919) * (1 + number * 37 % 400)


def _record(number: int) -> bytes:
    return b"%07d %07x\n" % (number, zlib.crc32(b"%d" % number) >> 4)


class Work:
    """A journal of records that are appended to, and files that are replaced by a rename."""

    def __init__(self, directory: str, said: str) -> None:
        self._directory = directory
        self._said = os.open(said, os.O_WRONLY | os.O_APPEND)

    def say(self, *words: object) -> None:
        """Tell what was done; a line arrives whole, or not at all."""
        os.write(self._said, (" ".join(map(str, words)) + "\n").encode())

    def found(self) -> int:
        """Check what is there, and return which state it is.

        Raises:
            ValueError: it is no state that was ever written.
        """
        try:
            journal = self._read("journal")
        except FileNotFoundError:
            journal = b""
        number = len(journal) // _RECORD
        if journal[: number * _RECORD] != b"".join(_record(n) for n in range(1, number + 1)):
            raise ValueError("the journal holds something else")
        if not _record(number + 1).startswith(journal[number * _RECORD :]):
            raise ValueError("the end of the journal is no part of a record")
        for last in range(max(number - _FILES, 0) + 1, number + 1):
            found = self._read(f"file{last % _FILES}")
            # The file is replaced before the record is appended, so it may be ahead by one round.
            if found not in (_content(last), _content(last + _FILES) if last + _FILES == number + 1 else None):
                raise ValueError(f"file {last % _FILES} is not that of state {last}")
        return number

    def step(self, number: int) -> None:
        """Make state ``number`` durable: a file beside the old one, synced, renamed over it, and a record of it."""
        path = f"{self._directory}/file{number % _FILES}"
        self._write(path + ".new", _content(number), os.O_CREAT | os.O_TRUNC, 0)
        os.rename(path + ".new", path)  # noqa: PTH104 # pathlib takes long to import
        self._write(f"{self._directory}/journal", _record(number), os.O_CREAT, (number - 1) * _RECORD)

    def _read(self, name: str) -> bytes:
        with open(f"{self._directory}/{name}", "rb") as file:  # noqa: PTH123 # pathlib takes long to import
            return file.read()

    @staticmethod
    def _write(path: str, data: bytes, flags: int, offset: int) -> None:
        handle = os.open(path, os.O_WRONLY | flags, 0o644)
        try:
            os.pwrite(handle, data, offset)
            os.fsync(handle)
        finally:
            os.close(handle)


def main() -> None:
    """Look, and then write until killed."""
    work = Work(*sys.argv[1:])
    number = work.found()
    work.say("found", number)
    while True:
        number += 1
        work.say("announce", number)
        work.step(number)
        work.say("done", number)


if __name__ == "__main__":
    main()
