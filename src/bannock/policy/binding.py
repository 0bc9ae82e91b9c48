"""Binding: secrets put in where a session has them stand for parts of its sections.

Pure. What comes in is checked as the whole document was: a secret of another session can make this one stricter,
looser or impossible, but it cannot bring in what the language does not have at that place. No message repeats a value.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.errors import Bug, DeniedError, InputError, Issue
from bannock.policy._check import Checked, built, check
from bannock.policy._document import Mapping, Node, Scalar, Sequence, scalars, tree
from bannock.policy._walk import items, secret_kinds
from bannock.policy._wire_base import sole_placeholder
from bannock.policy.session import Section
from bannock.policy.template import Placeholder, is_placeholder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from bannock.policy.canonical import JsonValue
    from bannock.policy.session import Session

    Value = Callable[[Placeholder], JsonValue]

__all__ = ["bind_session"]

#: Templates by themselves, which are filled when they are used.
_FILLED_LATER: Final = frozenset({"one_time_password_shared_secret"})
#: A fragment has room for every platform of a large site, and for no more than a document.
_NODES_MAX: Final = 65_536


def bind_session(
    session: Session, value: Callable[[Placeholder], JsonValue], *, sections: Collection[Section] | None = None
) -> Session:
    """Give the session with its secrets put into their sections.

    A list that stands for an entry of a list is spliced into it. An access policy is bound as far as it can be: a
    secret that cannot be had, or that names no client, lets nobody in and refuses nobody else.

    Args:
        session: as it was parsed.
        value: of the secret that a placeholder names: a structure for a ``config-fragment``, text for all others. It
            may raise :class:`~bannock.errors.InputError` or :class:`~bannock.errors.DeniedError`.
        sections: to bind; all of them unless some are named.

    Raises:
        InputError: a value cannot be had, or cannot stand where the session puts it; place and secret are named.
    """
    wanted = session.unbound if sections is None else session.unbound & frozenset(sections)
    if not wanted:
        return session
    without: set[str] = set()
    while True:
        binder = _Binder(session, value, without)
        root = tree(session.document)
        if not isinstance(root, Mapping):
            raise Bug("a session has no document")
        checked = check(binder.bound(root, wanted))
        if isinstance(checked, Checked):
            break
        fails = binder.entries_of(checked)
        if not fails:
            raise InputError(
                f"secrets cannot stand where session {session.name} puts them", reasons=binder.told(checked)
            )
        without |= fails
    bound = built(checked)
    return replace(
        bound,
        unbound=session.unbound - wanted,
        warnings=session.warnings,
        document=session.document,
        digest=session.digest,
    )


class _Binder:
    """Puts values into a tree, and remembers where."""

    def __init__(self, session: Session, value: Value, without: set[str]) -> None:
        self._name = session.name
        self._value = value
        self._without = without
        self._kinds: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._size = 0

    def bound(self, root: Mapping, sections: frozenset[Section]) -> Mapping:
        """Put the values of some sections in."""
        self._kinds = secret_kinds(root)
        for holder, key, path in _places(root, sections):
            holder.pairs = [(name, self._put(node, path) if name.text == key else node) for name, node in holder.pairs]
        return root

    def entries_of(self, issues: list[Issue]) -> set[str]:
        """Give the secrets in the access policy that the issues are about, unless there are other issues."""
        if any(not issue.path.startswith(Section.ACCESS_POLICY) for issue in issues):
            return set()
        return {self._places[place] for issue in issues if (place := self._place(issue.path)) is not None}

    def told(self, issues: list[Issue]) -> list[str]:
        """Name place, secret and defect of each issue."""
        lines: list[str] = []
        for issue in issues:
            place = self._place(issue.path)
            # Keys below the place are the secret's own.
            where = issue.path if place is None else f"{place} (secret {self._places[place]!r})"
            lines.append(f"{where}: {issue.message}")
        return lines

    def _place(self, path: str) -> str | None:
        """Find where the secret was put in that a path leads into."""
        inside = [place for place in self._places if path == place or path.startswith((f"{place}.", f"{place}["))]
        return max(inside, key=len, default=None)

    def _put(self, node: Node, path: str) -> Node:
        if isinstance(node, Scalar):
            return self._get(node, path) or node
        if isinstance(node, Mapping):
            node.pairs = [
                (key, below if key.text in _FILLED_LATER else self._put(below, f"{path}.{key.text}"))
                for key, below in node.pairs
            ]
            return node
        entries: list[Node] = []
        for item in node.items:
            place = f"{path}[{len(entries)}]"
            found = self._get(item, place) if isinstance(item, Scalar) else None
            if isinstance(found, Sequence):
                name = self._places.pop(place)
                self._places |= {f"{path}[{len(entries) + index}]": name for index in range(len(found.items))}
                entries += found.items
            else:
                entries.append(found or self._put(item, place))
        return Sequence(line=0, column=0, items=entries)

    def _get(self, node: Scalar, path: str) -> Node | None:
        """Give what stands for a placeholder; None for all other text."""
        placeholder = sole_placeholder(node.text.strip())
        if placeholder is None:
            return None
        placeholder = placeholder.within(self._kinds)
        lenient = path.startswith(Section.ACCESS_POLICY)
        if lenient and placeholder.name in self._without:
            return None
        try:
            found = tree(self._value(placeholder), source=node.text)
            self._require_plain(found)
        except (InputError, DeniedError) as error:
            if lenient:
                return None
            raise InputError(
                f"session {self._name} lacks secret {placeholder.name!r}, which stands in {path}",
                reasons=[error.message],
                hint="a secret of another session has to be exported to this one",
            ) from error
        self._places[path] = placeholder.name
        return found

    def _require_plain(self, node: Node) -> None:
        """Accept a value without secrets of its own: whose they would be is open."""
        for _, scalar in scalars(node):
            self._size += 1
            if is_placeholder(scalar.text):
                raise InputError("a value that stands for a part of a session holds a placeholder itself")
        if self._size > _NODES_MAX:
            raise InputError(f"what secrets stand for has more than {_NODES_MAX} values")


def _places(root: Mapping, sections: frozenset[Section]) -> Iterator[tuple[Mapping, str, str]]:
    """Yield every mapping and key of it that sections are at."""
    per_service = {Section.ATTESTATION: ("attestation", "mrenclaves"), Section.PLATFORMS: ("platforms",)}
    for whole in (Section.SECURITY, Section.ACCESS_POLICY):
        if whole in sections:
            yield root, whole.value, whole.value
    for section, keys in per_service.items():
        if section not in sections:
            continue
        for item, path in items(root, "services"):
            for key in keys:
                yield item, key, f"{path}.{key}"
    if Section.ATTESTATION in sections:
        for item, path in items(root, "images"):
            yield item, "mrenclaves", f"{path}.mrenclaves"
