"""An explanation as a picture, in the language of Graphviz.

Pure. From left to right: where secrets come from, the secrets, the services that see them, and who is trusted to be
those; above, who may do what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.policy.explain import Explanation, ServiceView

__all__ = ["explanation_dot"]

_HEAD: Final = """\
digraph session {
  graph [rankdir=LR, fontname="Helvetica", labelloc=t, nodesep=0.25, ranksep=0.9, tooltip=" "];
  node [fontname="Helvetica", fontsize=11, style=filled, fillcolor=white, tooltip=" "];
  edge [fontname="Helvetica", fontsize=9, color="#555555", tooltip=" "];
"""
_HASH_SHOWN: Final = 12
_SHAPES: Final = {
    "identity": 'shape=ellipse, fillcolor="#fff3cd"',
    "operation": 'shape=cds, fillcolor="#f8d7da"',
    "origin": 'shape=note, fillcolor="#eeeeee"',
    "secret": 'shape=box, fillcolor="#d1e7dd"',
    "service": 'shape=component, fillcolor="#cfe2ff"',
    "enclave": 'shape=hexagon, fillcolor="#e2d9f3"',
    "volume": 'shape=cylinder, fillcolor="#d1e7dd"',
    "session": 'shape=folder, fillcolor="#eeeeee"',
}
_VERBS: Final = {"read": "read", "update": "update", "create_sessions": "create sessions"}


def explanation_dot(explanation: Explanation) -> str:
    """Write a directed graph that ``dot`` draws."""
    drawing = _Drawing()
    _draw_access(drawing, explanation)
    for service in explanation.services:
        _draw_service(drawing, service)
    _draw_secrets(drawing, explanation)
    title = f"session {explanation.name}\n{explanation.digest[:_HASH_SHOWN]}…"
    return f"{_HEAD}  label={_quoted(title)};\n{''.join(drawing.lines())}}}\n"


class _Drawing:
    """Nodes and edges, each once."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], str] = {}
        self._edges: dict[tuple[str, str], dict[str, None]] = {}

    def node(self, kind: str, name: str, label: str | None = None) -> str:
        """Add a node, and give what edges call it."""
        self._nodes.setdefault((kind, name), _shortened(name if label is None else label))
        return f"{kind} {name}"

    def edge(self, start: str, end: str, label: str = "") -> None:
        """Add an edge, or a further label to one."""
        self._edges.setdefault((start, end), {})[label] = None

    def lines(self) -> Iterable[str]:
        for (kind, name), label in self._nodes.items():
            yield f"  {_quoted(f'{kind} {name}')} [{_SHAPES[kind]}, label={_quoted(label)}];\n"
        for (start, end), labels in self._edges.items():
            label = "\n".join(label for label in labels if label)
            yield f"  {_quoted(start)} -> {_quoted(end)} [label={_quoted(label)}];\n"


def _draw_access(drawing: _Drawing, explanation: Explanation) -> None:
    for identity in explanation.identities:
        for operation, answer in identity.may.items():
            if answer != "no":
                start = drawing.node("identity", identity.label)
                end = drawing.node("operation", operation, _VERBS[operation])
                drawing.edge(start, end, "" if answer == "yes" else answer)


def _draw_service(drawing: _Drawing, service: ServiceView) -> None:
    node = drawing.node(
        "service", service.name, "\n".join([f"service {service.name}", *(f"needs {need}" for need in service.needs)])
    )
    for trusted in ("every program",) if service.anybody else service.trusted:
        drawing.edge(node, drawing.node("enclave", trusted), "may be")
    for flow in service.sees:
        secret = drawing.node("secret", flow.secret, "any secret" if flow.secret == "*" else flow.secret)  # noqa: S105
        drawing.edge(secret, node, f"{flow.part + ': ' if flow.part else ''}{flow.place}")
    for mount in service.mounts:
        volume = drawing.node("volume", mount.volume, f"volume {mount.volume}\nkey {mount.key}")
        drawing.edge(volume, node, f"{mount.path}, {mount.update_policy}")


def _draw_secrets(drawing: _Drawing, explanation: Explanation) -> None:
    for secret in explanation.secrets:
        node = drawing.node("secret", secret.name)
        drawing.edge(drawing.node("origin", secret.origin), node)
        for session in secret.sessions:
            drawing.edge(node, drawing.node("session", session), "export")
        if secret.public:
            drawing.edge(node, drawing.node("session", "everybody"), "export_public")
        for use in secret.uses:
            drawing.edge(node, drawing.node("origin", use))


def _shortened(label: str) -> str:
    """Cut hashes down, so that a picture can be looked at; the text has them in full."""
    words = label.replace("\n", " \n ").split(" ")
    return " ".join(f"{word[:_HASH_SHOWN]}…" if len(word) > 3 * _HASH_SHOWN else word for word in words)


def _quoted(text: str) -> str:
    """Quote text as DOT has it: only quotes and backslashes mean something in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(character if character.isprintable() else "�" for character in escaped) + '"'
