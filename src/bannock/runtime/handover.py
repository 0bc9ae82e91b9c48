"""Gives a program that was started without arguments and environment what it has to know.

What execve(2) is told stands where the kernel shows it to everybody (/proc/PID/cmdline), or to who may look into the
process (environ). So a program is started with nothing but its name. Before its first instruction it is stopped, and
has its memory closed already; there it is made to read its arguments and its environment, and finds them on its stack
as if the kernel had put them there.

The memory of the stopped program is closed to this process too. So nothing but its registers is changed: they make it
do system calls of its own, with an instruction of its own, on a socket to this process.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import signal
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault
from bannock.identity import elf

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["hand_over", "trace_me"]

_PTRACE_TRACEME: Final = 0
_PTRACE_CONT: Final = 7
_PTRACE_DETACH: Final = 17
_PTRACE_SYSCALL: Final = 24
_PTRACE_SETOPTIONS: Final = 0x4200
_PTRACE_GETREGSET: Final = 0x4204
_PTRACE_SETREGSET: Final = 0x4205
_PTRACE_SETSIGMASK: Final = 0x420B
_OPTIONS: Final = 0x00100000 | 1  # PTRACE_O_EXITKILL, PTRACE_O_TRACESYSGOOD
_NT_PRSTATUS: Final = 1
_IN_CALL: Final = signal.SIGTRAP | 0x80
_MASK_BYTES: Final = 8
_PR_SET_DUMPABLE: Final = 4
#: A socket takes that much without anybody who reads it.
_PIECE: Final = 16 << 10
_PAGE: Final = 4096
#: What the kernel puts on the stack of a program that is told nothing but its name has a tenth of that.
_FIRST_STACK_MAX: Final = 16 * _PAGE
_WORD: Final = struct.Struct("=Q")
_ALIGNED: Final = ~15


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """How system calls are made on a machine; registers are places in struct user_regs_struct (sys/user.h)."""

    registers: int
    instruction: bytes
    pointer: int
    stack: int
    number: int
    arguments: tuple[int, ...]
    result: int
    interrupted: int | None
    read: int
    write: int
    close: int
    prctl: int


_MACHINES: Final = {
    "x86_64": _Machine(
        registers=27, instruction=b"\x0f\x05", pointer=16, stack=19, number=10, arguments=(14, 13, 12, 7, 9),
        result=10, interrupted=15, read=0, write=1, close=3, prctl=157,
    ),
    "aarch64": _Machine(
        registers=34, instruction=b"\x01\x00\x00\xd4", pointer=32, stack=31, number=8, arguments=(0, 1, 2, 3, 4),
        result=0, interrupted=None, read=63, write=64, close=57, prctl=167,
    ),
}  # fmt: skip


def trace_me() -> None:
    """Have the process that made this one stop the program that this one becomes, before its first instruction.

    Raises:
        OSError: the kernel, or its settings, do not allow it, or not on such a machine.
    """
    if os.uname().machine not in _MACHINES:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    # Whatever else comes stays where it is until the program runs, and nothing stops it in between.
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - {signal.SIGTRAP})
    _ptrace(_PTRACE_TRACEME, 0)


def hand_over(
    process: int,
    channel: socket.socket,
    descriptor: int,
    entry: Path,
    argv: Sequence[str],
    environment: Mapping[str, str],
) -> None:
    """Give a program that has just started its arguments and its environment, and let it run.

    For the thread that made the process. Which signals are held back is then as it is in this thread.

    Args:
        process: a child that has called :func:`trace_me` and become the program; or is about to, or has failed to.
        channel: a stream to it, which nobody else uses.
        descriptor: the stream's other end in the process.
        entry: the file in which the kernel starts the program: its loader, or the program itself.
        argv: what to give; the first is what the program was started with already.
        environment: what to give.

    Raises:
        EnvironmentFault: it cannot be done; the process is then killed, and somebody has to wait for it.
    """
    try:
        tracee = _Tracee(process, _MACHINES[os.uname().machine])
        tracee.find_calls(entry)
        stack = _Stack.parse(tracee.stack, tracee.read_stack(channel, descriptor))
        place, content = stack.with_words([os.fsencode(word) for word in argv], _texts(environment))
        tracee.write(channel, descriptor, place, content)
        # Where the kernel could not close it by itself.
        tracee.call(tracee.machine.prctl, _PR_SET_DUMPABLE, 0)
        tracee.call(tracee.machine.close, descriptor)
        tracee.go_on(place)
    except (OSError, struct.error, ValueError) as error:
        os.kill(process, signal.SIGKILL)
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EnvironmentFault(f"cannot give the application its arguments and its environment: {why}") from error


def _texts(environment: Mapping[str, str]) -> list[bytes]:
    return [os.fsencode(f"{name}={value}") for name, value in environment.items()]


@dataclass(frozen=True, slots=True)
class _Stack:
    """What a program finds on its stack (System V ABI, process initialization): words, and what the kernel tells."""

    top: int
    argv: tuple[bytes, ...]
    auxiliary: bytes

    @classmethod
    def parse(cls, place: int, content: bytes) -> _Stack:
        words = [word for (word,) in _WORD.iter_unpack(content[: len(content) & ~7])]
        count = words[0]
        addresses, ends = words[1 : count + 1], words.index(0, count + 1)
        if ends != count + 1 or words[ends + 1]:
            raise ValueError("it was started with more than its name")
        # Pairs of a kind and a value, up to the kind 0.
        start = ends + 2
        end = next(index for index in range(start, len(words), 2) if words[index] == 0) + 2
        argv = tuple(_text(content, address - place) for address in addresses)
        return cls(place, argv, content[start * 8 : end * 8])

    def with_words(self, argv: list[bytes], environment: list[bytes]) -> tuple[int, bytes]:
        """Return a stack below this one, which stays, and where it begins.

        What is there may be more than the name: of a script, the kernel has put its interpreter in front.
        """
        given = [*self.argv, *argv[1:]]
        texts = b"".join(word + b"\0" for word in (*given, *environment))
        first = (self.top - len(texts)) & _ALIGNED
        addresses, at = [], first
        for word in (*given, *environment):
            addresses.append(at)
            at += len(word) + 1
        ours, theirs = addresses[: len(given)], addresses[len(given) :]
        words = [len(given), *ours, 0, *theirs, 0]
        head = struct.pack(f"={len(words)}Q", *words) + self.auxiliary
        place = (first - len(head)) & _ALIGNED
        return place, head.ljust(first - place, b"\0") + texts


def _text(content: bytes, start: int) -> bytes:
    end = content.find(b"\0", start)
    if not 0 <= start < end:
        raise ValueError("its name is not on its stack")
    return content[start:end]


class _Tracee:
    """A stopped program; for the thread that traces it."""

    def __init__(self, process: int, machine: _Machine) -> None:
        self.machine = machine
        self._process = process
        self._calls = 0
        self._wait(signal.SIGTRAP, _PTRACE_CONT)
        _ptrace(_PTRACE_SETOPTIONS, process, data=_OPTIONS)
        self._registers = self._get()

    @property
    def stack(self) -> int:
        return self._registers[self.machine.stack]

    def find_calls(self, entry: Path) -> None:
        """Find an instruction in the program that makes a system call.

        Raises:
            ValueError: there is none.
        """
        with entry.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            start, segments = elf.code_of(lambda offset, size: content[offset : offset + size])
            base = self._registers[self.machine.pointer] - start
            for offset, size, address in segments:
                found = content.find(self.machine.instruction, offset, offset + size)
                if found >= 0 and base % _PAGE == 0:
                    self._calls = base + address + found - offset
                    return
        raise ValueError("it does not start where its file says")

    def call(self, number: int, *arguments: int) -> int:
        """Have it make a system call, and return its result.

        Raises:
            OSError: it failed.
        """
        machine = self.machine
        registers = list(self._registers)
        registers[machine.pointer] = self._calls
        for place, argument in zip(machine.arguments, arguments, strict=False):
            registers[place] = argument
        registers[machine.number] = number
        if machine.interrupted is not None:
            registers[machine.interrupted] = (1 << 64) - 1
        self._set(registers)
        for _ in ("there", "back"):
            _ptrace(_PTRACE_SYSCALL, self._process)
            self._wait(_IN_CALL, _PTRACE_SYSCALL)
        (result,) = struct.unpack("=q", _WORD.pack(self._get()[machine.result]))
        if -_PAGE < result < 0:
            raise OSError(-result, os.strerror(-result))
        return int(result)

    def read_stack(self, channel: socket.socket, descriptor: int) -> bytes:
        """Return what is on its stack."""
        content, at = b"", self.stack
        while len(content) < _FIRST_STACK_MAX:
            size = _PAGE - at % _PAGE
            try:
                size = self.call(self.machine.write, descriptor, at, size)
            except OSError as error:
                if error.errno == errno.EFAULT and content:
                    break
                raise
            while size:
                piece = channel.recv(size)
                content, at, size = content + piece, at + len(piece), size - len(piece)
        return content

    def write(self, channel: socket.socket, descriptor: int, place: int, content: bytes) -> None:
        """Have it read something to a place."""
        for start in range(0, len(content), _PIECE):
            piece = content[start : start + _PIECE]
            channel.sendall(piece)
            while piece:
                at = place + start + len(content[start : start + _PIECE]) - len(piece)
                piece = piece[self.call(self.machine.read, descriptor, at, len(piece)) :]

    def go_on(self, stack: int) -> None:
        """Let it run, with another stack."""
        self._registers[self.machine.stack] = stack
        if self.machine.interrupted is not None:
            self._registers[self.machine.interrupted] = (1 << 64) - 1
        self._set(self._registers)
        held = sum(1 << (number - 1) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        mask = ctypes.c_uint64(held)
        _ptrace(_PTRACE_SETSIGMASK, self._process, _MASK_BYTES, ctypes.addressof(mask))
        _ptrace(_PTRACE_DETACH, self._process)

    def _wait(self, wanted: int, how: int) -> None:
        """Wait until it stops for a reason; what else stops it (nothing but SIGSTOP can) does not."""
        while True:
            # Left to be waited for, if it has ended.
            status = os.waitid(os.P_PID, self._process, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if status is None or status.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
                raise ValueError("it has ended")
            _, stopped = os.waitpid(self._process, 0)
            if os.WSTOPSIG(stopped) == wanted:
                return
            _ptrace(how, self._process)

    def _get(self) -> list[int]:
        values = (ctypes.c_uint64 * self.machine.registers)()
        self._exchange(_PTRACE_GETREGSET, values)
        return list(values)

    def _set(self, registers: Sequence[int]) -> None:
        self._exchange(_PTRACE_SETREGSET, (ctypes.c_uint64 * self.machine.registers)(*registers))

    def _exchange(self, request: int, values: ctypes.Array[ctypes.c_uint64]) -> None:
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(values), ctypes.sizeof(values))
        _ptrace(request, self._process, _NT_PRSTATUS, ctypes.addressof(vector))


def _ptrace(request: int, process: int, address: int = 0, data: int = 0) -> None:
    if _library().ptrace(request, process, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {os.strerror(number)}")


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    library.ptrace.restype = ctypes.c_long
    return library
