"""The command ``scone-signer``: the verbs of ``scone signer``, under the name that images and scripts call it by."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "entry", "main"]

#: Words → module, and what it does in one line.
VERBS: Final[dict[tuple[str, ...], tuple[str, str]]] = {
    ("sign",): ("bannock.cli.signer_sign", "sign an application with its settings"),
    ("sign-cas",): ("bannock.cli.signer_sign_cas", "sign the CAS that is installed here"),
    ("verify",): ("bannock.cli.signer_verify", "find out whether an application is what was signed"),
    ("info",): ("bannock.cli.signer_info", "show what a signature says"),
}
_EXAMPLES: Final = """\
  scone-signer sign --key enclave-key.pem --production /usr/bin/python3
  scone-signer info /usr/bin/python3"""


def entry() -> NoReturn:
    """Be the console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code (:meth:`Command.run`)."""
    purpose = "Sign applications, so that sessions can trust their signer."
    return Command(name="scone-signer", purpose=purpose, verbs=VERBS, examples=_EXAMPLES).run(arguments)


if __name__ == "__main__":
    entry()
