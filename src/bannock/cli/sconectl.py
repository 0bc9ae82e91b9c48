"""The command ``sconectl``: from manifests to images, policies and a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.command import Command

if TYPE_CHECKING:
    from bannock.cli.command import Verbs

__all__ = ["COMMAND", "VERBS", "entry"]

VERBS: Final[Verbs] = {
    ("apply",): ("bannock.cli.sconectl_apply", "make what a manifest describes: images, policies, a chart"),
    ("scone_init",): ("bannock.cli.sconectl_scone_init", "install device plugin and LAS on the nodes of a cluster"),
    ("check_prerequisites",): ("bannock.cli.sconectl_check_prerequisites", "tell what is missing for meshes"),
    ("diff",): ("bannock.cli.sconectl_diff", "tell what an apply of a mesh would change, in policies and chart"),
    ("schema",): ("bannock.cli.sconectl_schema", "print the JSON Schema of manifests, for editors"),
}

COMMAND: Final = Command(
    name="sconectl",
    purpose="Make confidential services and meshes of them, from manifests.",
    verbs=VERBS,
    examples="""\
  sconectl apply -f service.yaml
  sconectl apply --help -f mesh.yaml
  sconectl diff -f mesh.yaml
  sconectl schema genservice > genservice.json""",
)


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


if __name__ == "__main__":
    entry()
