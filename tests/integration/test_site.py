"""The documentation as a site: it can be built, its links lead somewhere, and it asks nobody else for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import pytest

from bannock.cli.commands import commands
from tests.e2e.machine import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

#: Where a browser fetches what a page consists of.
_FETCHED: Final = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href"), ("object", "data")}


class _Page(HTMLParser):
    """What a page links to, what it fetches, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if tag == "a" and "href" in named:
            self.links.add(named["href"])
        self.fetched |= {value for name, value in named.items() if (tag, name) in _FETCHED}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site."""
    target = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(target)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, _Page]:
    """Read its pages."""
    return {str(path.relative_to(site)): _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_source_is_a_page(site: Path) -> None:
    """Whatever lies in docs/ can be reached on the site."""
    sources = {path.relative_to(REPOSITORY / "docs") for path in (REPOSITORY / "docs").rglob("*.md")}
    assert not {path for path in sources if not (site / path.with_suffix(".html")).is_file()}


def test_links_lead_somewhere(site: Path, pages: dict[str, _Page]) -> None:
    """Every link within the site leads to a page or a file of it, and to an anchor that is there."""
    broken: dict[str, list[str]] = defaultdict(list)
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or name == "404.html":
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            if not target.exists():
                broken[name].append(link)
            elif parts.fragment and target.suffix == ".html":
                other = pages[os.path.relpath(target, site)]
                if unquote(parts.fragment) not in other.anchors:
                    broken[name].append(link)
    assert not broken


def test_every_command_is_in_the_reference(pages: dict[str, _Page]) -> None:
    """With every verb, and a place that can be linked to."""
    for command in commands():
        page = pages[f"reference/{command.name}.html"]
        assert {"-".join(words) for words in command.verbs if words} <= page.anchors


def test_every_form_of_the_language_is_told(site: Path) -> None:
    """The parser has an answer for each key but those that take anything."""
    text = (site / "reference" / "session.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>\s*<td><code>([a-z0-9_-]+)</code></td>\s*<td>(.*?)</td>", text)
    assert len(rows) > 150
    assert {key for key, form in rows if form == "anything"} == {"value"}
    assert [form for key, form in rows if not form] == []


def test_nothing_is_fetched_from_elsewhere(pages: dict[str, _Page]) -> None:
    """Readers are seen by nobody but whoever serves the site."""
    fetched = {address for page in pages.values() for address in page.fetched}
    assert fetched
    assert not {address for address in fetched if urlsplit(address).netloc}
