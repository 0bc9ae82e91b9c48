"""The pages: each asks the CAS what this client may know, and has it put into a template.

Thread-safe; runs on worker threads. Reads alone: no page changes the store or adds to the audit log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from bannock.cas.access import client_of
from bannock.cas.audit.config import Keep, Mode
from bannock.cas.console.checking import LogCheck
from bannock.cas.console.directory import Directory
from bannock.cas.console.door import Answer
from bannock.cas.console.history import decisions, newest, sessions_named
from bannock.cas.console.layout import HEIGHT, WIDTH, picture_of
from bannock.cas.console.machines import machines_of
from bannock.cas.console.rendering import icon, link_to, render, style_sheet
from bannock.cas.console.sharing import Kind, graph_of
from bannock.errors import DeniedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.cas.console.checking import Checked
    from bannock.cas.console.directory import Known
    from bannock.cas.service import Cas
    from bannock.errors import BannockError
    from bannock.net.peer import Peer

__all__ = ["ConsolePages"]

_FIELDS: Final = ("namespace", "only", "session", "before", "after")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,15}")
_DECISIONS: Final = 40
_ENTRIES: Final = 40
#: Decisions from which platforms are told.
_REMEMBERED: Final = 2000
#: Parties that are drawn in one picture; more of them nobody could tell apart.
_DRAWN_MAX: Final = 120
_LISTED_MAX: Final = 200
#: How soon a page is asked for again by itself.
_SOON, _LIVE, _LATER = 1, 3, 15
_TITLES: Final = {
    403: "Not for this client",
    404: "Nothing here",
    405: "The console only shows",
    503: "Not now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One request: what for, and by whom."""

    path: str
    query: Mapping[str, str]
    peer: Peer

    @property
    def live(self) -> bool:
        """Whether the page is to be made anew by itself."""
        return self.query.get("live") != "no"

    @property
    def before(self) -> int | None:
        """The number of an entry that what is asked for comes before."""
        text = self.query.get("before", "")
        return int(text) if _NUMBER.fullmatch(text) else None


class ConsolePages:
    """The pages of one CAS.

    Args:
        cas: which.
    """

    def __init__(self, cas: Cas) -> None:
        self._cas = cas
        self._directory = Directory(cas)
        self._check = LogCheck(cas.store, clock=lambda: cas.forecasting.now)
        self._pages: Mapping[str, Callable[[_Asked], bytes]] = {
            "": self._overview,
            "/": self._overview,
            "/sessions": self._sessions,
            "/attestations": self._attestations,
            "/audit": self._audit,
            "/platforms": self._platforms,
        }

    def page(self, path: str, query: Mapping[str, str], peer: Peer) -> Answer:
        """Make the page at a path below ``/console``.

        Raises:
            BannockError: there is none, or none for this client.
        """
        if path == "/style.css":
            return Answer(body=style_sheet(), media_type="text/css; charset=utf-8")
        if path == "/icon.svg":
            return Answer(body=icon(), media_type="image/svg+xml")
        self._cas.owner.require_provisioned()
        asked = _Asked(path=path, query=query, peer=peer)
        made = self._pages.get(path)
        if made is None and path.startswith("/sessions/"):
            made = self._session
        if made is None:
            raise NotFoundError("the console has no such page")
        return Answer(body=made(asked))

    def refusal(self, error: BannockError | None, status: int, peer: Peer) -> Answer:
        """Make the page that says why there is none; None for a fault of ours, which is told to the log alone."""
        asked = _Asked(path="", query={}, peer=peer)
        body = self._render(
            "refusal.html",
            asked,
            title=_TITLES.get(status, "This cannot be shown"),
            status=status,
            message="" if error is None else error.message,
            reasons=() if error is None else error.reasons,
            hint=None if error is None else error.hint,
        )
        return Answer(body=body, status=status)

    def _render(self, template: str, asked: _Asked, *, refresh: int | None = None, **values: Any) -> bytes:
        record = self._cas.owner.record
        key = asked.peer.key_hash
        return render(
            template,
            me=None if key is None else str(key),
            is_owner=record is not None and key == record.key_hash,
            has_owner=record is not None,
            cas=str(self._cas.key_hash),
            here=asked.path or "/",
            now=self._cas.forecasting.now,
            refreshes=refresh is not None,
            live_link=_query(asked, live=None),
            stop_link=_query(asked, live="no"),
            refresh=refresh if asked.live else None,
            **values,
        )

    def _require_owner(self, asked: _Asked) -> None:
        self._cas.owner.read(asked.peer.key_hash)

    def _is_owner(self, asked: _Asked) -> bool:
        try:
            self._require_owner(asked)
        except DeniedError:
            return False
        return True

    def _overview(self, asked: _Asked) -> bytes:
        attested = self._cas.self_attestation
        shown: dict[str, Any] = {}
        if self._is_owner(asked):
            found, _ = decisions(self._cas.store, 6)
            shown["decisions"] = found
            shown["check"] = self._checked()
        return self._render(
            "overview.html",
            asked,
            software=str(attested.software.key_hash),
            measurement=str(attested.measurement),
            listing=self._directory.listing(client_of(asked.peer)),
            **({"decisions": None, "check": None} | shown),
        )

    def _sessions(self, asked: _Asked) -> bytes:
        listing = self._directory.listing(client_of(asked.peer))
        wanted = asked.query.get("namespace", "")
        known = [each for each in listing.sessions if _is_in(each, wanted)]
        graph = graph_of(
            (each.outline.name for each in listing.sessions), (share for each in known for share in each.shares)
        )
        parties = {party for edge in graph.edges for party in (edge.giver, edge.taker)}
        outlines = {each.outline.name: each.outline for each in listing.sessions}
        after = asked.query.get("after", "")
        listed = [each.outline for each in known if each.outline.name > after]
        named: list[str] = []
        if self._is_owner(asked):
            named = sorted(sessions_named(self._cas.store) - outlines.keys())
        return self._render(
            "sessions.html",
            asked,
            refresh=_SOON if listing.unread else _LATER,
            listing=listing,
            namespace=wanted,
            namespaces=sorted({each.outline.namespace for each in listing.sessions} - {""}),
            shown=listed[:_LISTED_MAX],
            after=after,
            next_after=listed[_LISTED_MAX - 1].name if len(listed) > _LISTED_MAX else None,
            named=named[:_LISTED_MAX],
            outlines=outlines,
            picture=picture_of(graph.edges) if len(parties) <= _DRAWN_MAX else None,
            parties=len(parties),
            box=(WIDTH, HEIGHT),
            kinds=Kind,
        )

    def _session(self, asked: _Asked) -> bytes:
        name = asked.path.removeprefix("/sessions/")
        client = client_of(asked.peer)
        known = self._directory.find(name, client)
        listing = self._directory.listing(client)
        others = {each.outline.name: each for each in listing.sessions} | {name: known}
        graph = graph_of(others, (share for each in others.values() for share in each.shares))
        near = [edge for edge in graph.edges if name in (edge.giver.name, edge.taker.name)]
        shown, refused = None, None
        if self._is_owner(asked):
            shown, _ = decisions(self._cas.store, 10, wanted=lambda each: each.session == name)
            refused = sum(not each.accepted for each in shown)
        return self._render(
            "session.html",
            asked,
            refresh=_LATER,
            outline=known.outline,
            outlines={each.outline.name: each.outline for each in others.values()},
            tags=self._directory.volume_tags(known),
            picture=picture_of(near) if len(near) <= _DRAWN_MAX else None,
            parties=len(near),
            decisions=shown,
            refused=refused,
            box=(WIDTH, HEIGHT),
            kinds=Kind,
        )

    def _attestations(self, asked: _Asked) -> bytes:
        self._require_owner(asked)
        only, session = asked.query.get("only", ""), asked.query.get("session", "")
        found, older = decisions(
            self._cas.store,
            _DECISIONS,
            wanted=lambda each: (only != "refused" or not each.accepted) and session in ("", each.session),
            before=asked.before,
        )
        return self._render(
            "attestations.html",
            asked,
            # Who looks at what is old does not want it to move.
            refresh=None if asked.before else _LIVE,
            decisions=found,
            older=older,
            only=only if only == "refused" else "",
            session=session,
            before=asked.before,
            **self._logging(),
        )

    def _audit(self, asked: _Asked) -> bytes:
        self._require_owner(asked)
        page = newest(self._cas.store, _ENTRIES, before=asked.before)
        check = self._checked()
        going_on = check is not None and check.problem is None and not check.whole
        return self._render(
            "audit.html",
            asked,
            # An entry that somebody has opened stays open.
            refresh=_SOON if going_on else None,
            page=page,
            check=check,
            before=asked.before,
            **self._logging(),
        )

    def _platforms(self, asked: _Asked) -> bytes:
        self._require_owner(asked)
        found, _ = decisions(self._cas.store, _REMEMBERED)
        return self._render(
            "platforms.html",
            asked,
            refresh=_LATER,
            machines=machines_of(found, self._cas.forecasting.forecast()),
            looked=len(found),
            **self._logging(),
        )

    def _checked(self) -> Checked | None:
        """Verify some more of the log; None where the database has checkpoints alone, which are no log."""
        return self._check.go_on() if self._cas.store.journal.config.keep is Keep.ALL else None

    def _logging(self) -> dict[str, Any]:
        config = self._cas.store.journal.config
        return {"kept": config.keep is Keep.ALL, "logged": config.mode is not Mode.DISABLED}


def _query(asked: _Asked, *, live: str | None) -> str:
    """Give the address of the same page with or without its being made anew."""
    fields = {name: asked.query[name] for name in _FIELDS if name in asked.query}
    if live is not None:
        fields["live"] = live
    return f"{link_to(asked.path.removeprefix('/'))}{'?' if fields else ''}{urlencode(fields)}"


def _is_in(known: Known, namespace: str) -> bool:
    name = known.outline.name
    return not namespace or name == namespace or name.startswith(f"{namespace}/")
