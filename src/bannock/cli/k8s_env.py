"""``bannock k8s env``: stand-ins for kubectl and helm in the path."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.k8s_options import ALIASES, add_place, aliases_of
from bannock.cli.options import Parser, conf_directory
from bannock.files import private_directory, write_atomically
from bannock.kubernetes.local.helm import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print shell commands that put stand-ins for kubectl and helm first in the path, so that scripts which install charts in
a cluster run on this machine alone, unchanged: `helm install`, `upgrade`, `uninstall`, `list`, `get`, `rollback` and
`kubectl get`, `logs`, `exec`, `edit`, … work on the pods of `bannock k8s run`; everything else of helm goes to the
real one, and anything else of kubectl is an error."""
_EXAMPLES: Final = """\
  eval "$(bannock k8s env)"
  eval "$(bannock k8s env --alias cas.scone-system=host)"
      where the CAS runs on this machine, and not in a pod"""
_PROGRAMS: Final = ("kubectl", "helm")


def main(arguments: Sequence[str]) -> int:
    """Parse, write the stand-ins, print the commands."""
    parser = Parser("k8s env", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--alias", action="append", default=[], metavar="NAME=ADDRESS",
        help="a name for something that is no pod; the address `host` is this machine",
    )  # fmt: skip
    parser.add_argument("--directory", action="store_true", help="print only the directory that the stand-ins are in")
    add_place(parser)
    parsed = parser.parse_args(arguments)
    conf = conf_directory(parsed.conf, os.environ)
    directory = _written(conf)
    if parsed.directory:
        sys.stdout.write(f"{directory}\n")
        return 0
    lines = []
    if str(directory) not in os.environ.get("PATH", "").split(os.pathsep):
        lines.append(f'export PATH={shlex.quote(str(directory))}:"$PATH"')
    aliases = aliases_of(parsed.alias, os.environ)
    if aliases:
        text = ",".join(f"{name}={address}" for name, address in aliases.items())
        lines.append(f"export {ALIASES}={shlex.quote(text)}")
    lines.append('# To be evaluated by a shell: eval "$(bannock k8s env)"')
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _written(conf: Path) -> Path:
    private_directory(conf / "k8s")
    directory = private_directory(conf / "k8s" / "bin")
    for name in _PROGRAMS:
        text = f"""\
#!/bin/sh
# In place of {name}, for pods of this machine: bannock k8s env
BANNOCK_HOME={shlex.quote(str(conf))} exec {shlex.quote(sys.executable)} -m bannock.cli.bannock k8s {name} "$@"
"""
        write_atomically(directory / name, text.encode("utf-8"), mode=0o700)
    write_atomically(directory / MARK, b"")
    return directory
