"""Who shares what with whom: sessions as a graph.

Pure. An edge leads from whoever has something to whoever gets it. What a session exports and the other one imports is
one edge; what only one of the two says is told apart, for there it can end: somebody waits, or nobody has come yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.policy.secret_specs import ImportedValue, VaultValue
from bannock.policy.session import ImportedVolume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bannock.policy.references import SessionReference
    from bannock.policy.session import Session

__all__ = ["EVERYBODY", "Edge", "Graph", "Kind", "Node", "Share", "graph_of", "shares_of"]


class Kind(StrEnum):
    """What kind of party a node is."""

    SESSION = "session"
    #: A session that is named by another one, and not there or not for this client to read.
    NAMED = "named"
    #: A session on another CAS.
    REMOTE = "remote"
    VAULT = "vault"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A party: its kind, and a name that is its own within it."""

    kind: Kind
    name: str
    place: str = ""


EVERYBODY: Final = Node(Kind.EVERYBODY, "everybody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One thing that goes from one party to another, as one of the two says.

    Attributes:
        what: ``secret``, ``volume``, ``service`` or ``image``.
        name: by which the giver gives it.
        imported: whether it is the taker that says so.
        nested: whether sessions in the taker's namespace get it too.
    """

    giver: Node
    taker: Node
    what: str
    name: str
    imported: bool
    nested: bool = False

    def covers(self, wish: Share) -> bool:
        """Whether an export is what somebody imports."""
        if (self.giver, self.what, self.name) != (wish.giver, wish.what, wish.name):
            return False
        inside = self.nested and wish.taker.name.startswith(f"{self.taker.name}/")
        return inside or self.taker in (wish.taker, EVERYBODY)


@dataclass(slots=True, kw_only=True)
class Edge:
    """All that goes from one party to another.

    Attributes:
        agreed: what both say, or one of them where the other cannot be asked.
        offered: what is exported, and not imported by a session that could.
        wanted: what is imported, and not exported by a session that could.
    """

    giver: Node
    taker: Node
    agreed: list[str] = field(default_factory=list)
    offered: list[str] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Parties, and what goes between them."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def shares_of(session: Session) -> tuple[Share, ...]:
    """Give all that a session says of what it gives to others and gets from them; names alone."""
    return (*_of_secrets(session), *_of_volumes(session), *_of_parts(session))


def _of_secrets(session: Session) -> Iterator[Share]:
    me = Node(Kind.SESSION, session.name)
    for spec in session.secrets:
        match spec.source:
            case ImportedValue(session=reference, secret=name):
                yield Share(giver=_party(reference), taker=me, what="secret", name=name, imported=True)
            case VaultValue(vault=vault, secret_name=name):
                host = vault.partition("://")[2].partition("/")[0].rpartition("@")[2] or vault
                giver = Node(Kind.VAULT, host)
                yield Share(giver=giver, taker=me, what="secret", name=name, imported=True)
            case _:
                pass
        for export in spec.export:
            taker = _party(export.to)
            yield Share(giver=me, taker=taker, what="secret", name=spec.name, imported=False, nested=export.nested)
        if spec.export_public:
            yield Share(giver=me, taker=EVERYBODY, what="secret", name=spec.name, imported=False)


def _of_volumes(session: Session) -> Iterator[Share]:
    me = Node(Kind.SESSION, session.name)
    for volume in session.volumes:
        if isinstance(volume.key, ImportedVolume):
            giver = _party(volume.key.session)
            yield Share(giver=giver, taker=me, what="volume", name=volume.key.volume, imported=True)
        for export in volume.export:
            name = export.alias or volume.name
            yield Share(giver=me, taker=_party(export.to), what="volume", name=name, imported=False)


def _of_parts(session: Session) -> Iterator[Share]:
    me = Node(Kind.SESSION, session.name)
    for what, parts in (("service", session.services), ("image", session.images)):
        for part in parts:
            if part.imported is not None:
                yield Share(giver=_party(part.imported), taker=me, what=what, name=part.name, imported=True)
    for export in session.exports:
        taker = EVERYBODY if export.to is None else _party(export.to)
        yield Share(giver=me, taker=taker, what=export.kind, name=export.name, imported=False)


def _party(reference: SessionReference) -> Node:
    if reference.cas is None:
        return Node(Kind.SESSION, reference.name)
    return Node(Kind.REMOTE, reference.name, reference.cas.address)


def graph_of(names: Iterable[str], shares: Iterable[Share]) -> Graph:
    """Put together what sessions say.

    Args:
        names: of the sessions that can be read: what they do not say is not so.
        shares: what they say.
    """
    known = set(names)
    placed = {replace(share, giver=_placed(share.giver, known), taker=_placed(share.taker, known)) for share in shares}
    offers: dict[tuple[Node, str, str], list[Share]] = {}
    for share in placed:
        if not share.imported:
            offers.setdefault((share.giver, share.what, share.name), []).append(share)
    edges: dict[tuple[Node, Node], Edge] = {}
    taken: set[Share] = set()
    for wish in sorted((share for share in placed if share.imported), key=_order):
        met = [each for each in offers.get((wish.giver, wish.what, wish.name), ()) if each.covers(wish)]
        taken.update(met)
        edge = _edge(edges, wish)
        # Who cannot be asked is believed to have said what the other one says.
        (edge.agreed if met or wish.giver.kind is not Kind.SESSION else edge.wanted).append(_label(wish))
    for offer in sorted((share for share in placed if not share.imported and share not in taken), key=_order):
        edge = _edge(edges, offer)
        (edge.offered if offer.taker.kind is Kind.SESSION else edge.agreed).append(_label(offer))
    nodes = {Node(Kind.SESSION, name) for name in known}
    nodes |= {party for edge in edges.values() for party in (edge.giver, edge.taker)}
    return Graph(nodes=tuple(sorted(nodes)), edges=tuple(edges.values()))


def _edge(edges: dict[tuple[Node, Node], Edge], share: Share) -> Edge:
    return edges.setdefault((share.giver, share.taker), Edge(giver=share.giver, taker=share.taker))


def _label(share: Share) -> str:
    return f"{share.what} {share.name}".rstrip()


def _order(share: Share) -> tuple[Node, Node, str, str]:
    return share.giver, share.taker, share.what, share.name


def _placed(party: Node, known: set[str]) -> Node:
    """Tell sessions that can be read from those that are named only."""
    return Node(Kind.NAMED, party.name) if party.kind is Kind.SESSION and party.name not in known else party
