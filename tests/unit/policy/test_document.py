"""YAML as the session language takes it: text, places and bounds."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import PolicySyntaxError
from bannock.policy._document import DEPTH_MAX, DOCUMENT_BYTES_MAX, Mapping, Node, Scalar, Sequence, compose, plain
from bannock.policy.parse import parse_session
from tests.unit.policy.documents import TEMPLATE, VARIABLES, issues_of

LOADERS: Final[list[Any]] = [yaml.Loader, *([yaml.CLoader] if yaml.__with_libyaml__ else [])]

_each_loader = pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)


def _places(node: Node) -> list[tuple[int, int, str]]:
    match node:
        case Scalar():
            return [(node.line, node.column, node.text)]
        case Sequence():
            below = [place for item in node.items for place in _places(item)]
        case Mapping():
            below = [place for key, value in node.pairs for place in (*_places(key), *_places(value))]
    return [(node.line, node.column, ""), *below]


@_each_loader
@pytest.mark.parametrize("text", ["007", "1e3", "0x10", "true", "no", "~", "null", "2020-01-01", "1_000", "12:30:45"])
def test_scalars_stay_text(loader: Any, text: str) -> None:
    """What other YAML readers take for numbers, dates or truth values is kept as it is written."""
    assert plain(compose(f"a: {text}", loader=loader)) == {"a": text}


def test_both_loaders_see_the_same_places() -> None:
    """The C library and the Python code of PyYAML give one tree."""
    first, *others = [_places(compose(TEMPLATE, loader=loader)) for loader in LOADERS]
    assert all(other == first for other in others)


@_each_loader
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("# nothing", "empty"),
        ("a: [", "not YAML"),
        ("a: \x01", "not allowed"),
        ("a: \0", "not allowed"),
        ("a: 1\n---\nb: 2", "second document"),
        ("a: !!python/object:os.system {}", "tag"),
        ("a: !akw x", "tag"),
        ("a: !akv [x]", "tag"),
        ("!cas a: x", "a key is text"),
        ("a: !!binary aGk=", "tag"),
        ("a: *b", "alias"),
        ("a: &a [*a]", "alias"),
        ("[a]: b", "a key is text"),
        ("{a: 1}: b", "a key is text"),
        ("[" * (DEPTH_MAX + 1), "nests deeper"),
        ("x" * (DOCUMENT_BYTES_MAX + 1), "at most"),
        ("a: \ud800", "not Unicode"),
        ("%YAML 1." + "9" * 5000 + "\n---\na", "not YAML"),
    ],
)
def test_refused(loader: Any, text: str, message: str) -> None:
    """Whatever is not one small tree of text is refused with its cause."""
    with pytest.raises(PolicySyntaxError) as caught:
        compose(text, loader=loader)
    (issue,) = caught.value.issues
    assert message in issue.message


@_each_loader
def test_a_billion_laughs_are_refused(loader: Any) -> None:
    """Aliases of aliases are counted with all that they lead to, before anything is expanded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 20)]
    with pytest.raises(PolicySyntaxError, match="not valid"):
        compose("\n".join(lines), loader=loader)


def test_one_long_text_under_many_aliases_is_refused() -> None:
    """Text counts as often as it is referred to."""
    assert "larger" in issues_of(f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 30}]")[0].message


def test_an_alias_is_followed() -> None:
    """Anchors and aliases are YAML, and allowed."""
    assert plain(compose("a: &a [1, 2]\nb: *a")) == {"a": ["1", "2"], "b": ["1", "2"]}


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{a: 1, a: 2}", "x: [{a: 1, a: 1}]"])
def test_repeated_keys_are_refused(text: str) -> None:
    """A key that occurs twice is an issue, on one line or on two."""
    assert any("occurs twice" in issue.message for issue in issues_of(text))


def test_a_place_is_named() -> None:
    """YAML's own complaints come with line and column."""
    (issue,) = issues_of("name: x\nversion: 'open")
    assert issue.line >= 2
    assert issue.column >= 1


@given(st.text())
def test_any_text_gives_only_our_error(text: str) -> None:
    """The parser may refuse arbitrary text, and nothing else."""
    with pytest.raises(PolicySyntaxError):
        parse_session(text)


_WORDS: Final = [
    *(
        "",
        "~",
        "x",
        "1",
        "99999999",
        "NONE",
        "ANY",
        "*",
        "none",
        "maa",
        "0o700",
        "/",
        "/a/../b",
        "@@1",
        "\\@\\@A",
        "a='b",
    ),
    *("$A", "${", "$$", "$$SCONE::", "$$SCONE::a$$", "$$SCONE::greeting:hex$$", "-----BEGIN CERTIFICATE-----", "\0"),
    *("import", "env", "kind", "binary", "x509", "size", "signer", "mrenclave", "export", "platforms", "[key]"),
]
_trees = st.recursive(
    st.sampled_from(_WORDS) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=3),
    max_leaves=5,
)


def _mutate(tree: Any, data: st.DataObject) -> Any:
    """Put something else at one place of a tree."""
    if isinstance(tree, dict) and tree and data.draw(st.integers(0, 3)):
        key = data.draw(st.sampled_from(sorted(tree)))
        new_key = data.draw(st.just(key) | st.sampled_from(_WORDS))
        return {**{k: v for k, v in tree.items() if k != key}, new_key: _mutate(tree[key], data)}
    if isinstance(tree, list) and tree and data.draw(st.integers(0, 3)):
        index = data.draw(st.integers(0, len(tree) - 1))
        return [*tree[:index], _mutate(tree[index], data), *tree[index + 1 :]]
    return data.draw(_trees)


@given(st.data())
def test_any_changed_tree_gives_only_our_error(data: st.DataObject) -> None:
    """A real document with something else at some place, of any shape, is refused or parsed."""
    tree = yaml.load(TEMPLATE, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes text alone
    text = yaml.safe_dump(_mutate(tree, data), allow_unicode=True)
    with contextlib.suppress(PolicySyntaxError):
        parse_session(text, variables=VARIABLES)


@given(st.data())
def test_any_cut_or_changed_text_gives_only_our_error(data: st.DataObject) -> None:
    """A real document with a piece replaced is refused or parsed."""
    start = data.draw(st.integers(0, len(TEMPLATE)))
    end = data.draw(st.integers(start, min(len(TEMPLATE), start + 40)))
    with contextlib.suppress(PolicySyntaxError):
        parse_session(TEMPLATE[:start] + data.draw(st.text(max_size=10)) + TEMPLATE[end:], variables=VARIABLES)
