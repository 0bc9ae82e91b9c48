"""``sconectl diff``: what an apply of a mesh would change, in its policies and in its chart."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.mesh_plan import HELM, UPLOADED_BY_CLUSTER, plan_mesh, policy_files, upload_of
from bannock.cli.options import add_json, as_json
from bannock.cli.sconectl_options import filename_in, manifest_text, parse_apply, parser_of
from bannock.errors import InputError
from bannock.files import read_bounded
from bannock.mesh.diff import chart_changes, policy_changes
from bannock.mesh.manifests import parse_mesh
from bannock.mesh.policies import PolicyKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.cli.mesh_plan import MeshPlan
    from bannock.cli.sconectl_options import ApplyOptions

__all__ = ["main"]

_DEFAULT: Final = "Meshfile.yaml"
_BYTES_MAX: Final = 1 << 20
_DESCRIPTION: Final = """\
Print what an apply of a mesh would change, and change nothing: in the policies that the CAS has (or that were written
the last time, where the CAS is not asked), and in the chart of the target. Values of secrets are not shown."""
_EXAMPLES: Final = """\
  sconectl diff -f mesh.yaml
  sconectl diff -f mesh.yaml --release pythonapp --rolling"""


def main(arguments: Sequence[str]) -> int:
    """Parse, plan, print."""
    parser = parser_of("mesh")
    parser.prog, parser.description, parser.epilog = "sconectl diff", _DESCRIPTION, f"examples:\n{_EXAMPLES}"
    add_json(parser, "the changes")
    path = filename_in(arguments) or Path(_DEFAULT)
    parsed = parser.parse_args(arguments)
    options = parse_apply(parsed, path, os.environ)
    if not path.exists():
        raise InputError(f"there is no manifest {path}", hint="name it: -f FILE")
    plan = plan_mesh(parse_mesh(manifest_text(path)), options)
    lines = list(_changes(plan, options))
    if parsed.as_json:
        sys.stdout.write(as_json({"changes": lines}))
        return 0
    sys.stdout.writelines(f"{line}\n" for line in lines or ["nothing changes"])
    return 0


def _changes(plan: MeshPlan, options: ApplyOptions) -> Iterator[str]:
    stored = _written(options.target) if plan.stored is None else plan.stored
    for policy in plan.policies:
        # A namespace has nothing in it, and one that is there stays as it is.
        if policy.kind is not PolicyKind.NAMESPACE:
            yield from policy_changes(policy, stored.get(policy.name))
    # What is encrypted is another text each time.
    by_cluster = plan.mode in UPLOADED_BY_CLUSTER
    upload = upload_of(plan, options, {"001.new": "encrypted"}) if by_cluster else None
    yield from chart_changes(plan.chart(upload), options.target / HELM)


def _written(target: Path) -> Mapping[str, str]:
    """Return the policies of the last apply, by the names of their sessions."""
    return {
        name: read_bounded(path, _BYTES_MAX).decode("utf-8", "replace") for name, path in policy_files(target).items()
    }
