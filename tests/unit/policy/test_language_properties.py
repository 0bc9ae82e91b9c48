"""Properties of the whole language: whatever comes in, a session or issues come out, and a hash is of one document."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import InputError, Issue, PolicySyntaxError, render
from bannock.policy import parse_session, session_hash
from bannock.policy.binding import bind_session
from bannock.policy.parse import render_session
from bannock.policy.secret_specs import ImportedValue
from bannock.policy.session import Section
from tests.unit.policy.test_language_docs import BLOCKS, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCUMENTS: Final = [
    json.loads(
        render_session(
            block if block.startswith("name:") else f'name: example\nversion: "0.3.11"\n{block}', variables=VARIABLES
        )
    )
    for block in BLOCKS
]
_CANARY: Final = "canary7f3a9"
#: Words that mean something somewhere, so that what is put in is often nearly right.
_WORDS: Final = st.sampled_from(
    (
        "|~|ANY|CREATOR|none|true|0|65536|$$SCONE::x$$|$$SCONE::x|../a|/a|/a/../b|@@1|a b|kind|0o777|1 year|dns:a|*"
        f"|\N{PILE OF POO}|{'ab' * 32}|{'ab' * 16}|{_CANARY}"
    ).split("|")
)
_VALUES: Final = st.recursive(
    _WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a tree as container and key."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from _places(node[key])


@st.composite
def _mutants(draw: st.DrawFn) -> str:
    """Draw a document of the reference, changed in some places."""
    tree = copy.deepcopy(draw(st.sampled_from(_DOCUMENTS)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "remove", "add", "rename"])):
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(_WORDS)] = draw(_VALUES)
            case "rename" if isinstance(holder, dict):
                holder[f"{key}s"] = holder.pop(key)
            case _:
                holder[key] = draw(_VALUES)
    return json.dumps(tree)


@settings(max_examples=300, deadline=None)
@given(_mutants())
def test_whatever_comes_in_a_session_or_issues_come_out(text: str) -> None:
    """Never another error, never more issues than a person reads, each at a place, each telling what it is."""
    issues: tuple[Issue, ...] | None = None
    try:
        session = parse_session(text, variables=None)
    except PolicySyntaxError as error:
        issues = error.issues
    else:
        assert session == parse_session(text, variables=None)
    assert issues is None or 0 < len(issues) <= 100
    assert all(issue.message and issue.line == 1 and issue.column > 0 for issue in issues or ())


@settings(max_examples=100, deadline=None)
@given(_mutants(), st.randoms(use_true_random=False))
def test_a_hash_is_of_one_document(text: str, source: Any) -> None:
    """It survives a round trip in another order, and tells two documents apart."""
    try:
        session = parse_session(text, variables=None)
    except PolicySyntaxError:
        return
    assert session_hash(parse_session(_shuffled(text, source), variables=None)) == session_hash(session)
    for original in _DOCUMENTS:
        same = session_hash(parse_session(json.dumps(original), variables=None)) == session_hash(session)
        assert same == (original == json.loads(text))


def _shuffled(text: str, source: Any) -> str:
    def shuffled(node: Any) -> Any:
        if isinstance(node, dict):
            keys = list(node)
            source.shuffle(keys)
            return {key: shuffled(node[key]) for key in keys}
        return [shuffled(item) for item in node] if isinstance(node, list) else node

    return json.dumps(shuffled(json.loads(text)), indent=source.choice([None, 2]))


_PLACES: Final = (
    "services: [{name: s, command: r, attestation: $$SCONE::x$$}]",
    "services: [{name: s, command: r, attestation: [$$SCONE::x$$]}]",
    "services: [{name: s, command: r, attestation: [{mrenclave: [$$SCONE::x$$]}]}]",
    "services: [{name: s, command: r, import: b, platforms: [$$SCONE::x$$]}]",
    "security: $$SCONE::x$$",
    "security: {attestation: $$SCONE::x$$}",
    "security: {attestation: {mode: $$SCONE::x$$, tolerate: [$$SCONE::x$$]}}",
    "access_policy: $$SCONE::x$$",
    "access_policy: {update: $$SCONE::x$$}",
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_PLACES), _VALUES)
def test_whatever_is_bound_a_session_or_a_refusal_comes_out(place: str, value: Any) -> None:
    """Bound in all sections or refused, and no value is told either way."""
    rest = "secrets: [{name: x, kind: config-fragment, import: {session: b}}]"
    session = parse_session(f'name: a\nversion: "0.3.11"\n{place}\n{rest}')
    assert session.unbound
    refused: InputError | None = None
    try:
        bound = bind_session(session, lambda _: value)
    except InputError as error:
        refused = error
    else:
        assert bound.unbound == frozenset()
        assert session_hash(bound) == session_hash(session)
    # A secret in an access policy lets nobody in where it does not fit, and refuses nobody else.
    assert refused is None or Section.ACCESS_POLICY not in session.unbound
    assert refused is None or _CANARY not in "\n".join(render(refused))


_NAMES: Final = st.from_regex(re.compile(r"[a-z0-9_~-]{1,4}(?:/[a-z0-9_~-]{1,4}){0,2}"), fullmatch=True)


@given(_NAMES, st.sampled_from([None, "ab" * 32]))
def test_the_short_form_means_what_the_mapping_means(name: str, digest: str | None) -> None:
    """Both are one reference."""
    short = f"/session={name}" + (f",session_hash={digest}" if digest else "")
    long = {"session": name} | ({"session_hash": digest} if digest else {})
    both = [{"name": "s", "import": short}, {"name": "t", "import": {**long, "secret": "s"}}]
    document = {"name": "a", "version": "0.3", "secrets": both}
    first, second = (spec.source for spec in parse_session(json.dumps(document)).secrets)
    assert isinstance(first, ImportedValue)
    assert first == second


@given(_NAMES, st.integers(0, 4), _NAMES)
def test_relative_names_stay_inside(own: str, up: int, target: str) -> None:
    """They lead to what path arithmetic says, or nowhere."""
    document = {
        "name": own,
        "version": "0.3.10",
        "secrets": [{"name": "s", "import": {"session": "../" * up + target}}],
    }
    parts = own.split("/")
    if up == 0:
        expected = target
    elif up <= len(parts):
        expected = "/".join([*parts[: len(parts) - up], target])
    else:
        with pytest.raises(PolicySyntaxError, match="1 issue"):
            parse_session(json.dumps(document))
        return
    (spec,) = parse_session(json.dumps(document)).secrets
    assert isinstance(spec.source, ImportedValue)
    assert spec.source.session.name == expected
