"""The console in a browser, with the certificates of those who look; the pictures of its documentation come from here.

``make screenshots`` has the pictures written to docs/console.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from bannock.values import Secret
from tests.integration.console.house import House

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page, Response

    from bannock.net.tls import Identity

playwright = pytest.importorskip("playwright.sync_api")

_ROOT: Final = Path(__file__).parents[3]
_PICTURES: Final = _ROOT / "docs" / "console"
#: Where pictures go, in place of a directory of the test's own; tests themselves have no such variables.
_WANTED: Final = os.environ.get("BANNOCK_SCREENSHOTS")
#: What a browser says where a network came or went: container engines make them.
_ELSEWHERE: Final = "ERR_NETWORK_CHANGED"
_PROGRAM: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    if _PROGRAM is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        # As root it has no sandbox; what it shows is ours.
        launched = started.chromium.launch(executable_path=_PROGRAM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A CAS as one would have it."""
    running = House(tmp_path_factory.mktemp("shop"), hostile=False)
    running.run()
    yield running
    running.close()


@contextmanager
def _looking(browser: Browser, house: House, who: Identity | None, **options: Any) -> Iterator[Page]:
    """Open a page that nothing may go wrong on: no script, no dialog, nothing that the policy of the page forbids."""
    origin = f"https://localhost:{house.address.port}"
    if who is not None:
        file = who.to_pkcs12(Secret(b"a word"))
        options["client_certificates"] = [{"origin": origin, "pfx": file, "passphrase": "a word"}]
    wrong: list[str] = []
    context = browser.new_context(
        ignore_https_errors=True, base_url=origin, viewport={"width": 1200, "height": 760}, **options
    )
    try:
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        yield page
        assert not [text for text in wrong if "status of 403" not in text and _ELSEWHERE not in text], wrong
        assert context.cookies() == []
    finally:
        context.close()


def _open(page: Page, path: str) -> Response:
    """Go to a page; once more where other tests have made or removed a network meanwhile."""
    for _ in range(20):
        try:
            answer = page.goto(path)
        except playwright.Error as error:
            if _ELSEWHERE not in str(error):
                raise
        else:
            assert answer is not None
            return answer
    raise AssertionError(path)


def _follow(page: Page, link: Locator) -> Response:
    """Go where a link leads that can be seen."""
    link.first.wait_for()
    return _open(page, str(link.first.get_attribute("href")))


def _picture(page: Page, name: str, tmp_path: Path) -> None:
    target = Path(_WANTED or tmp_path) / f"{name}.png"
    picture = page.screenshot(full_page=name == "sessions")
    assert picture.startswith(b"\x89PNG")
    target.write_bytes(picture)


def _named(page: Page) -> list[str]:
    return page.locator("svg .node .name").all_text_contents()


def test_the_sessions_of_alice(browser: Browser, shop: House, tmp_path: Path) -> None:
    """She sees who shares what with whom, follows the picture to a session, and comes to what is not hers nowhere."""
    with _looking(browser, shop, shop.alice) as page:
        _open(page, "/console?live=no")
        _follow(page, page.get_by_role("link", name="Sessions", exact=True))
        assert {"shop", "shop/web", "shop/billing", "bank/rates", "everybody", "vendor/backup"} == set(_named(page))
        _open(page, "/console/sessions?live=no")
        _picture(page, "sessions", tmp_path)
        _follow(page, page.locator("svg .node", has_text="shop/billing").locator("a"))
        assert page.title().startswith("shop/billing")
        assert "imported: api_key of shop" in page.inner_text("main")
        _open(page, "/console/sessions/shop/billing?live=no")
        _picture(page, "session", tmp_path)
        assert _open(page, "/console/audit").status == 403
        assert "only the owner of this CAS may do this" in page.inner_text("main")


def test_the_pages_of_the_owner(browser: Browser, shop: House, tmp_path: Path) -> None:
    """Every page by its link, and what is on it is there for the eye too."""
    with _looking(browser, shop, shop.owner) as page:
        _open(page, "/console")
        _picture(page, "overview", tmp_path)
        for link, shown in (
            ("Attestations", "Unexpected enclave measurement"),
            ("Platforms", "sim (rehearses tdx)"),
            ("Audit log", "✓ Verified"),
        ):
            _follow(page, page.get_by_role("link", name=link, exact=True))
            page.get_by_text(shown).first.wait_for()
            path = re.sub(r"\?.*", "", page.url)
            _open(page, f"{path}?live=no")
            _picture(page, link.lower().replace(" ", "-"), tmp_path)


def test_attestations_as_they_happen(browser: Browser, tmp_path: Path) -> None:
    """An enclave that is refused while somebody looks, is on the page a moment later, with the reason."""
    house = House(tmp_path)
    try:
        with _looking(browser, house, house.owner) as page:
            _open(page, "/console/attestations")
            assert "None." in page.inner_text("main")
            house.run()
            deadline = time.monotonic() + 20
            while not page.get_by_text("✗ refused").count():
                assert time.monotonic() < deadline
                if not page.url.startswith("https:"):
                    _open(page, "/console/attestations")
                page.wait_for_timeout(200)
            assert "Unexpected machine" in page.inner_text("main")
            assert page.locator("tr.refused").count() + page.locator("tr.accepted").count() >= 1
    finally:
        house.close()


def test_hostile_names(browser: Browser, house: House) -> None:
    """They are seen, and do nothing."""
    with _looking(browser, house, house.alice) as page:
        for path in ("/console/sessions", "/console/sessions/hostile"):
            _open(page, path)
            assert page.evaluate("document.scripts.length + document.images.length") == 0
        assert "<script>alert(1)</script>" in page.inner_text("main")


def test_without_a_certificate(browser: Browser, shop: House, tmp_path: Path) -> None:
    """The page says how a browser comes to one."""
    with _looking(browser, shop, None) as page:
        _open(page, "/console")
        assert "scone self export console.p12" in page.inner_text("main")
        _picture(page, "no-certificate", tmp_path)


@pytest.mark.parametrize("options", [{"viewport": {"width": 390, "height": 800}}, {"color_scheme": "dark"}])
def test_small_and_dark(browser: Browser, shop: House, options: dict[str, Any]) -> None:
    """Nothing sticks out of a small screen, and in the dark all is readable: texts differ from what is behind them."""
    size = options.pop("viewport", None)
    with _looking(browser, shop, shop.owner, **options) as page:
        if size is not None:
            page.set_viewport_size(size)
        for path in ("", "/sessions", "/attestations", "/platforms", "/audit"):
            _open(page, f"/console{path}?live=no")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
            body = page.evaluate(
                "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
            )
            assert body[0] != body[1]
        if size is None:
            assert body == ["rgb(230, 228, 223)", "rgb(22, 25, 29)"]


def test_the_documentation_has_these_pictures() -> None:
    """Every picture that is shown is one that is made here, and there."""
    shown = set(re.findall(r"\]\(console/([\w-]+)\.png\)", (_ROOT / "docs" / "console.md").read_text("utf-8")))
    made = {"sessions", "session", "overview", "attestations", "platforms", "audit-log", "no-certificate"}
    assert shown
    assert shown <= made
    assert shown == {path.stem for path in _PICTURES.glob("*.png")}
