"""``sconectl check_prerequisites``: whether this machine and its cluster have what meshes need."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, add_json, as_json
from bannock.cli.style import Style, styled
from bannock.errors import EnvironmentFault
from bannock.kubernetes.prerequisites import looked_for
from bannock.kubernetes.system import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Look for what it takes to make meshes of services and to run them: the engine that makes images, helm, kubectl, a
cluster that can be reached, and the device plugin and LAS there. The exit code is 0 if nothing is missing."""
_EXAMPLES: Final = """\
  sconectl check_prerequisites
  sconectl check_prerequisites --no-cluster
      what making images and charts takes"""


def main(arguments: Sequence[str]) -> int:
    """Parse, look, tell."""
    parser = Parser("check_prerequisites", _DESCRIPTION, _EXAMPLES, command="sconectl")
    parser.add_argument("-n", "--namespace", default=NAMESPACE, metavar="NS", help=f"of plugin and LAS ({NAMESPACE})")
    parser.add_argument("--no-cluster", action="store_true", help="do not look at a cluster")
    add_json(parser)
    parsed = parser.parse_args(arguments)
    documents: list[dict[str, object]] = []
    for found in looked_for(parsed.namespace, os.environ, cluster=not parsed.no_cluster):
        hint = found.hint if found.problem else ""
        documents.append({"what": found.what, "ok": not found.problem, "problem": found.problem, "hint": hint})
        if parsed.as_json:
            continue
        word, style = ("missing", Style.BAD) if found.problem else ("ok", Style.GOOD)
        sys.stdout.write(f"{styled(f'{word:8}', style, sys.stdout, os.environ)}{found.what}\n")
        if found.problem:
            sys.stdout.write(f"        {found.problem}\n        {found.hint}\n")
    if parsed.as_json:
        sys.stdout.write(as_json(documents))
    problems = sum(not document["ok"] for document in documents)
    if problems:
        raise EnvironmentFault(f"{problems} of what meshes need {'is' if problems == 1 else 'are'} missing")
    return 0
