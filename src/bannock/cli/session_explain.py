"""``scone session explain``: who may do what, who is trusted, and where each secret goes."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.session_options import add_session, prepared
from bannock.errors import Bug, EnvironmentFault, InputError
from bannock.policy.explain import explain
from bannock.policy.explain_graph import explanation_dot
from bannock.policy.explain_text import explanation_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Tell what a session file means: which identities may do what, which enclaves are trusted to be its services, which
secret goes where and which service sees which value; and what to look at before relying on it. Values are not shown,
and no CAS is asked. As text, as a picture (SVG, which needs Graphviz, or its language), or as JSON."""
_EXAMPLES: Final = """\
  scone session explain session.yml
  scone session explain --use-env --format svg session.yml > session.svg
  scone session explain --format json session.yml | jq '.services[].sees'"""

_DRAWING_SECONDS: Final = 120


def main(arguments: Sequence[str]) -> int:
    """Parse, explain, print."""
    parser = SconeParser("session explain", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    parser.add_argument(
        "--format",
        choices=("text", "dot", "svg", "json"),
        default="text",
        help="text (default), dot (Graphviz), svg (drawn by Graphviz), or json",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parsed = parser.parse(arguments)
    session = prepared(parsed).session
    if session is None:
        raise InputError(f"{parsed.file} is encrypted: only the CAS that it is for can tell what it means")
    explanation = explain(session)
    match parsed.format:
        case "text":
            sys.stdout.write(explanation_text(explanation))
        case "dot":
            sys.stdout.write(explanation_dot(explanation))
        case "svg":
            sys.stdout.write(_drawn(explanation_dot(explanation)))
        case "json":
            sys.stdout.write(json.dumps(dataclasses.asdict(explanation), ensure_ascii=False, indent=2) + "\n")
    return 0


def _drawn(graph: str) -> str:
    """Have Graphviz draw a picture.

    Raises:
        EnvironmentFault: Graphviz is not there, or does not end.
    """
    program = shutil.which("dot")
    if program is None:
        raise EnvironmentFault(
            "pictures are drawn by Graphviz, and the program dot is not there",
            hint="apt install graphviz, or take --format dot and draw it elsewhere",
        )
    try:
        drawn = subprocess.run(
            [program, "-Tsvg"], input=graph.encode("utf-8"), capture_output=True, check=True, timeout=_DRAWING_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(
            f"Graphviz has not drawn the picture in {_DRAWING_SECONDS} seconds", hint="the session is too large for it"
        ) from None
    except subprocess.CalledProcessError as error:
        raise Bug("Graphviz does not understand the picture that it was given") from error
    return drawn.stdout.decode("utf-8")
