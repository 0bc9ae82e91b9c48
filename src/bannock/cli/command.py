"""What all commands share: finding the verb, and being the outermost door for every error and signal.

A verb is a module with ``main(arguments) -> int``, and is imported only when it is asked for.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from bannock import __version__
from bannock.cli.signals import BROKEN_PIPE, OF_SIGNALS
from bannock.cli.style import painted
from bannock.errors import BannockError, Bug, EnvironmentFault, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

__all__ = ["Command", "Verbs"]

#: Words → module, and what it does in one line.
Verbs: TypeAlias = "Mapping[tuple[str, ...], tuple[str, str]]"

_HELP: Final = frozenset({"-h", "--help", "help"})
_VERSION: Final = (["--version"], ["-V"], ["version"])
#: What keeps a file from being written; where none is named, it is the one that our output goes to.
_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One console script.

    Attributes:
        name: what users type.
        purpose: what it is for, in one sentence.
        verbs: what it can do.
        examples: lines that show its use.
        prepare: called with a command line and with what runs one; for options that stand before the verb.
    """

    name: str
    purpose: str
    verbs: Verbs
    examples: str
    prepare: Callable[[Sequence[str], Callable[[list[str]], int]], int] | None = None

    def enter(self) -> NoReturn:
        """Be the console script."""
        _complete_streams()
        try:
            code = self.run(sys.argv[1:])
        finally:
            # Python would tell of an interrupt by a traceback; there is nothing left that it could disturb.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.exit(code)

    def run(self, arguments: Sequence[str]) -> int:
        """Run a command line and return its exit code; errors are told on standard error.

        SIGINT and SIGTERM end the verb as an error would, so that it cleans up, with the exit codes 130 and 143.
        """
        interrupts = _Interrupts()
        interrupts.install()
        try:
            return self._written(arguments)
        except KeyboardInterrupt:
            _tell(["Interrupted"])
            return OF_SIGNALS + interrupts.number
        except BrokenPipeError:
            _give_up_output()
            return BROKEN_PIPE
        except BannockError as error:
            return _told(error)
        except Exception as error:  # noqa: BLE001 - the outermost door: a traceback is for nobody but a developer
            return _told(_foreign(error))
        finally:
            interrupts.restore()

    def _written(self, arguments: Sequence[str]) -> int:
        """Run a command line and write its output, so that it is known whether it could be written."""
        try:
            if self.prepare is not None:
                code = self.prepare(arguments, self._dispatch)
            else:
                code = self._dispatch(list(arguments))
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        return code

    def _dispatch(self, arguments: list[str]) -> int:
        if arguments in _VERSION and tuple(arguments) not in self.verbs:
            sys.stdout.write(f"{self.name} {__version__}\n")
            return 0
        for words, (module, _) in self.verbs.items():
            if tuple(arguments[: len(words)]) == words:
                code: int = importlib.import_module(module).main(arguments[len(words) :])
                return code
        return self._help(arguments)

    def _help(self, arguments: list[str]) -> int:
        """Show help where it is asked for before a verb is named: ``help VERB``, ``GROUP help VERB``, ``GROUP``."""
        words = [word for word in arguments if word not in _HELP]
        if words != arguments and tuple(words) in self.verbs:
            return self._dispatch([*words, "--help"])
        if not words or (words != arguments and self._below(tuple(words))):
            sys.stdout.write(self._overview(tuple(words)))
            return 0
        from bannock.cli.slips import unknown_command  # noqa: PLC0415 - not for whoever knows the words

        raise unknown_command(self, words)

    def _below(self, group: tuple[str, ...]) -> Verbs:
        return {words: verb for words, verb in self.verbs.items() if words[: len(group)] == group}

    def _overview(self, group: tuple[str, ...]) -> str:
        verbs = self._below(group)
        width = max(len(" ".join(words)) for words in verbs)
        lines = "\n".join(f"  {' '.join(words):{width}}  {what}" for words, (_, what) in verbs.items())
        return f"""\
usage: {" ".join((self.name, *group))} COMMAND [OPTIONS]

{self.purpose}

commands:
{lines}

examples:
{self.examples}
  {self.name} COMMAND --help
      the options of a command; {self.name} --version tells the version

Errors go to standard error; exit codes are listed in docs/errors.md. BANNOCK_DEBUG=1 shows tracebacks.
"""


def _complete_streams() -> None:
    """Open what whoever started us has closed, lest a file of ours takes its place, and what is written goes there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - open until the end
        elif stream.errors == "strict":
            # The name of a file need not be text, and a terminal need not have all signs.
            stream.reconfigure(errors="backslashreplace")


def _give_up_output() -> None:
    """Keep the interpreter from writing at its end what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _foreign(error: Exception) -> BannockError:
    """Give the error of ours that stands for one that is not."""
    if isinstance(error, OSError) and error.errno in _UNWRITABLE and error.filename is None:
        _give_up_output()
        told: BannockError = EnvironmentFault(
            f"the output cannot be written: {error.strerror}", hint="make room where it goes, or write it elsewhere"
        )
    else:
        told = Bug(
            f"something that cannot be has happened: {type(error).__name__}",
            hint="please report it, with what BANNOCK_DEBUG=1 shows",
        )
    told.__cause__ = error
    return told


def _told(error: BannockError) -> int:
    if os.environ.get("BANNOCK_DEBUG", "0") not in ("", "0"):
        import traceback  # noqa: PLC0415 - for developers alone

        traceback.print_exception(error, file=sys.stderr)
    _tell(render(error))
    return error.exit_code


def _tell(lines: list[str]) -> None:
    # What was printed before belongs before the error, also where both go to the same file.
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):
        sys.stderr.write("".join(f"{painted(line, sys.stderr, os.environ)}\n" for line in lines))


class _Interrupts:
    """Turns the first SIGINT or SIGTERM into KeyboardInterrupt, and lets no further one disturb the cleaning up."""

    _NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.number = int(signal.SIGINT)
        self._before = {number: signal.getsignal(number) for number in self._NUMBERS}

    def install(self) -> None:
        for number, handler in self._before.items():
            # Whoever started us in the background may have switched one off, and that is to stay so.
            if handler != signal.SIG_IGN:
                signal.signal(number, self._interrupt)

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        for each in self._NUMBERS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt
