"""The command ``bannock``: finds the verb, runs it, and is the outermost door for every error.

A verb is a module with ``main(arguments) -> int``, and is imported only when it is asked for: ``bannock run`` stands
in front of applications and must start without the weight of the others.
"""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from bannock import __version__
from bannock.errors import BannockError, Bug, InputError, render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["VERBS", "entry", "main"]

#: Words → module, and what it does in one line.
VERBS: Final[dict[tuple[str, ...], tuple[str, str]]] = {
    ("execute",): ("bannock.cli.execute", "encrypt inputs, run an application on a host, decrypt its outputs"),
    ("run",): ("bannock.cli.run", "start one command as an enclave on this host"),
    ("cas", "serve"): ("bannock.cli.cas_serve", "serve the configuration and attestation service"),
    ("las", "serve"): ("bannock.cli.las_serve", "serve the local attestation service of this host"),
    ("transfer", "serve"): ("bannock.cli.transfer_serve", "serve files on their way, in the manner of transfer.sh"),
    ("demo",): ("bannock.cli.demo", "show the whole on this machine, attack it three times, and report"),
}
_SIGNAL_BASE: Final = 128
_BROKEN_PIPE: Final = _SIGNAL_BASE + signal.SIGPIPE
_HELP: Final = frozenset({"-h", "--help", "help"})


def entry() -> NoReturn:
    """Be the console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; errors are told on standard error.

    SIGINT and SIGTERM end the verb as an error would, so that it cleans up, with the exit codes 130 and 143.
    """
    interrupts = _Interrupts()
    interrupts.install()
    try:
        return _dispatch(list(arguments))
    except KeyboardInterrupt:
        _tell(["Interrupted"])
        return _SIGNAL_BASE + interrupts.number
    except BrokenPipeError:
        # Who read our output has gone; the interpreter must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except BannockError as error:
        return _told(error)
    except Exception as error:  # noqa: BLE001 - the outermost door: a traceback is for nobody but a developer
        bug = Bug(
            f"something that cannot be has happened: {type(error).__name__}",
            hint="please report it, with what BANNOCK_DEBUG=1 shows",
        )
        bug.__cause__ = error
        return _told(bug)
    finally:
        interrupts.restore()


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in _HELP:
        sys.stdout.write(_overview())
        return 0
    if arguments[0] == "--version":
        sys.stdout.write(f"bannock {__version__}\n")
        return 0
    for words, (module, _) in VERBS.items():
        if tuple(arguments[: len(words)]) == words:
            code: int = importlib.import_module(module).main(arguments[len(words) :])
            return code
    raise _unknown(arguments)


def _unknown(arguments: list[str]) -> InputError:
    spoken = [" ".join(words) for words in VERBS]
    below = [words for words in spoken if words.startswith(f"{arguments[0]} ")]
    near = below or difflib.get_close_matches(" ".join(arguments[:2]), spoken, n=1, cutoff=0.5)
    asked = " ".join(arguments[:2] if below else arguments[:1])
    return InputError(
        f"there is no command `bannock {asked}`",
        hint=f"did you mean `bannock {near[0]}`? `bannock --help` lists all" if near else "bannock --help lists all",
    )


def _overview() -> str:
    width = max(len(" ".join(words)) for words in VERBS)
    verbs = "\n".join(f"  {' '.join(words):{width}}  {what}" for words, (_, what) in VERBS.items())
    return f"""\
usage: bannock COMMAND [OPTIONS]

Run an unmodified application so that only the attested application sees its secrets, code and data.

commands:
{verbs}

examples:
  bannock demo
      everything at once, on this machine, with a report of what a host can and cannot do
  bannock execute --application copy_demo --host local --input INPUTS --output OUTPUTS
      the same for your own files
  bannock COMMAND --help
      the options of a command

Errors go to standard error; exit codes are listed in docs/errors.md. BANNOCK_DEBUG=1 shows tracebacks.
"""


def _told(error: BannockError) -> int:
    if os.environ.get("BANNOCK_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error, file=sys.stderr)
    _tell(render(error))
    return error.exit_code


def _tell(lines: list[str]) -> None:
    with suppress(BrokenPipeError):
        sys.stderr.write("".join(f"{line}\n" for line in lines))


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


if __name__ == "__main__":
    entry()
