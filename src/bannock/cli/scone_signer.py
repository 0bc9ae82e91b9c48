"""The command ``scone-signer``: the verbs of ``scone signer``, under the name that images and scripts call it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMAND", "VERBS", "entry", "main"]

#: Words → module, and what it does in one line.
VERBS: Final[dict[tuple[str, ...], tuple[str, str]]] = {
    ("sign",): ("bannock.cli.signer_sign", "sign an application with its settings"),
    ("sign-cas",): ("bannock.cli.signer_sign_cas", "sign the CAS that is installed here"),
    ("verify",): ("bannock.cli.signer_verify", "find out whether an application is what was signed"),
    ("info",): ("bannock.cli.signer_info", "show what a signature says"),
}
_PURPOSE: Final = "Sign applications, so that sessions can trust their signer."
_EXAMPLES: Final = """\
  scone-signer sign --key enclave-key.pem --production /usr/bin/python3
  scone-signer info /usr/bin/python3"""

COMMAND: Final = Command(name="scone-signer", purpose=_PURPOSE, verbs=VERBS, examples=_EXAMPLES)


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code (:meth:`Command.run`)."""
    return COMMAND.run(arguments)


if __name__ == "__main__":
    entry()
