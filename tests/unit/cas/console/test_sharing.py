"""Who shares what with whom, and where that goes in a picture."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from bannock.cas.console.layout import HEIGHT, WIDTH, picture_of
from bannock.cas.console.outline import outline_of
from bannock.cas.console.sharing import EVERYBODY, Edge, Graph, Kind, Node, graph_of, shares_of
from bannock.policy.parse import parse_session
from bannock.values import KeyHash

_HEAD = 'version: "0.3.11"\n'


def _graph(*texts: str) -> Graph:
    sessions = [parse_session(_HEAD + text, variables=None) for text in texts]
    return graph_of((each.name for each in sessions), (share for each in sessions for share in shares_of(each)))


def _edges(graph: Graph) -> set[tuple[str, str, str, str]]:
    return {
        (edge.giver.name, edge.taker.name, how, label)
        for edge in graph.edges
        for how, labels in (("agreed", edge.agreed), ("offered", edge.offered), ("wanted", edge.wanted))
        for label in labels
    }


_GIVER = "name: giver\nsecrets: [{name: key, kind: ascii, value: x, export: {session: taker}}]\n"
_TAKER = "name: taker\nsecrets: [{name: mine, import: {session: giver, secret: key}}]\n"


def test_both_say_so() -> None:
    """What is exported and imported goes from the one to the other, by the name that the giver has for it."""
    assert _edges(_graph(_GIVER, _TAKER)) == {("giver", "taker", "agreed", "secret key")}


def test_one_says_so() -> None:
    """What only one of two sessions that can be asked says, does not work yet."""
    assert _edges(_graph(_GIVER, "name: taker\n")) == {("giver", "taker", "offered", "secret key")}
    assert _edges(_graph("name: giver\n", _TAKER)) == {("giver", "taker", "wanted", "secret key")}
    other = _GIVER.replace("session: taker", "session: third")
    assert ("giver", "taker", "wanted", "secret key") in _edges(_graph(other, _TAKER))


def test_who_cannot_be_asked_is_believed() -> None:
    """A session that the client may not read, or that is not there, is named and nothing more."""
    for text, named in ((_GIVER, "taker"), (_TAKER, "giver")):
        graph = _graph(text)
        assert Node(Kind.NAMED, named) in graph.nodes
        assert _edges(graph) == {("giver", "taker", "agreed", "secret key")}


def test_namespaces_and_everybody() -> None:
    """An export to a namespace is one to each session in it; a public one to whoever imports it, too."""
    nested = "name: giver\nsecrets: [{name: key, kind: ascii, value: x, export: {namespace: team}}]\n"
    inside = _TAKER.replace("name: taker", "name: team/taker")
    assert _edges(_graph(nested, inside)) == {("giver", "team/taker", "agreed", "secret key")}


def test_public_secrets() -> None:
    """They go to everybody, and to whoever imports them."""
    public = "name: giver\nsecrets: [{name: key, kind: ascii, value: x, export_public: true}]\n"
    assert _edges(_graph(public)) == {("giver", EVERYBODY.name, "agreed", "secret key")}
    assert _edges(_graph(public, _TAKER)) == {("giver", "taker", "agreed", "secret key")}


def test_volumes_have_an_alias() -> None:
    """It is what they are imported by."""
    giver = "name: giver\nvolumes: [{name: data, export: [{to: {session: taker}, volume_alias: theirs}]}]\n"
    taker = "name: taker\nvolumes: [{name: mine, import: {session: giver, volume: theirs}}]\n"
    assert _edges(_graph(giver, taker)) == {("giver", "taker", "agreed", "volume theirs")}


def _boxes_apart(edges: list[Edge]) -> None:
    picture = picture_of(edges)
    assert {box.node for box in picture.boxes} == {each for edge in edges for each in (edge.giver, edge.taker)}
    for one, two in itertools.combinations(picture.boxes, 2):
        assert abs(one.x - two.x) >= WIDTH or abs(one.y - two.y) >= HEIGHT
    for box in picture.boxes:
        assert 0 <= box.x <= picture.width - WIDTH
        assert 0 <= box.y <= picture.height - HEIGHT
    assert len(picture.arrows) == len(edges)


_PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), unique=True, max_size=40)


@given(_PAIRS)
def test_any_graph_can_be_drawn(pairs: list[tuple[int, int]]) -> None:
    """Circles and sessions that share with themselves too; no box is on another one, and none sticks out."""
    nodes = [Node(Kind.SESSION, f"s{number:02}") for number in range(13)]
    _boxes_apart([Edge(giver=nodes[one], taker=nodes[two]) for one, two in pairs])


def test_who_gives_is_left_of_who_gets() -> None:
    """Along a chain that is longer than a stack, too."""
    nodes = [Node(Kind.SESSION, f"s{number:05}") for number in range(3000)]
    edges = [Edge(giver=one, taker=two) for one, two in itertools.pairwise(nodes)]
    places = {box.node: box.x for box in picture_of(edges).boxes}
    assert all(places[edge.giver] < places[edge.taker] for edge in edges)


def test_nothing_to_draw() -> None:
    """No edge, no box."""
    assert picture_of([]).boxes == ()


def test_an_outline_has_no_value() -> None:
    """Wherever a document can have a value, command, variable or file, the outline says nothing of it."""
    text = """
name: all
version: "0.3.11"
services:
  - name: app
    image_name: image
    command: [app, c4n4ry-1]
    environment: {A: c4n4ry-2}
    pwd: /c4n4ry-3
    fspf_path: /fspf
    fspf_key: "%s"
    fspf_tag: "%s"
    mrenclaves: ["%s"]
images: [{name: image, injection_files: [{path: /f, content: c4n4ry-4}]}]
volumes: [{name: data, fspf_key: "%s", fspf_tag: "%s"}]
secrets:
  - {name: plain, kind: ascii, value: c4n4ry-5}
  - {name: part, kind: config-fragment, value: {a: c4n4ry-6}}
"""
    key = (b"c4n4ry" * 6)[:32].hex()
    session = parse_session(text % (key, "ab" * 16, "11" * 32, key, "ab" * 16), variables=None)
    shown = repr(outline_of(session, generation=1, creator=KeyHash(bytes(32)))) + repr(shares_of(session))
    assert "c4n4ry" not in shown
    assert key not in shown
    assert re.search("app.*image.*data.*plain.*part", shown)
