"""``bannock k8s kubectl``: what scripts ask kubectl for, answered by the pods of this machine."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_VERBS: Final = {
    "get": "bannock.cli.kubectl_get",
    "describe": "bannock.cli.kubectl_get",
    "logs": "bannock.cli.kubectl_pods",
    "exec": "bannock.cli.kubectl_pods",
    "delete": "bannock.cli.kubectl_pods",
    "port-forward": "bannock.cli.kubectl_pods",
    "wait": "bannock.cli.kubectl_pods",
    "edit": "bannock.cli.kubectl_workloads",
    "set": "bannock.cli.kubectl_workloads",
    "scale": "bannock.cli.kubectl_workloads",
    "rollout": "bannock.cli.kubectl_workloads",
    "create": "bannock.cli.kubectl_workloads",
    "config": "bannock.cli.kubectl_get",
    "version": "bannock.cli.kubectl_get",
    "cluster-info": "bannock.cli.kubectl_get",
}
#: Options that may stand before the verb and have a value.
_WITH_VALUE: Final = frozenset({"-n", "--namespace", "--context", "--kubeconfig", "--cluster", "--user"})
_DESCRIPTION: Final = f"""\
Stand in for kubectl where there is no cluster (bannock k8s env): the pods are those of `bannock k8s run` and of the
stand-in for helm. Understood are {", ".join(sorted(_VERBS))}, with the options that scripts use, and
plugins (kubectl-NAME in the path); anything else is an error."""
_EXAMPLES: Final = """\
  bannock k8s kubectl get pods
  bannock k8s kubectl edit deployment pythonapp-hello"""


def main(arguments: Sequence[str]) -> int:
    """Find the verb, and hand it the rest."""
    parser = Parser("k8s kubectl", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("verb", metavar="VERB", nargs="?", help="what kubectl is to do")
    parser.add_argument("words", metavar="ARGUMENT", nargs="*", help="of the verb, as kubectl has them")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        parser.parse_args(["--help"])
    before, words = _split(list(arguments))
    if not words:
        raise InputError("kubectl is to do nothing", hint=f"it can do: {', '.join(sorted(_VERBS))}")
    verb, rest = words[0], [*words[1:], *before]
    if "--" in words:
        # What stands behind is of another program.
        at = words.index("--")
        rest = [*words[1:at], *before, *words[at:]]
    if verb in _VERBS:
        return int(importlib.import_module(_VERBS[verb]).run(verb, rest))
    _become_plugin(verb, rest)
    raise InputError(
        f"`kubectl {verb[:80]}` needs a cluster, and this is the stand-in that `bannock k8s env` put in the path",
        hint=f"here it can do: {', '.join(sorted(_VERBS))}; for a cluster, take its directory out of $PATH",
    )


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    before: list[str] = []
    while words and words[0].startswith("-") and words[0] != "--":
        option = words.pop(0)
        before.append(option)
        if option in _WITH_VALUE and words:
            before.append(words.pop(0))
    return before, words


def _become_plugin(verb: str, words: list[str]) -> None:
    """Become a plugin, if there is one of that name."""
    name = f"kubectl-{verb.replace('-', '_')}"
    sys.stdout.flush()
    if not verb.isidentifier() and not verb.replace("-", "").isalnum():
        return
    found = shutil.which(name)
    if found is not None:
        os.execv(found, [found, *words])  # noqa: S606 - no shell between
    if verb == "provision":
        program = [sys.executable, "-m", "bannock.cli.kubectl_provision", *words]
        os.execv(sys.executable, program)  # noqa: S606 - likewise
