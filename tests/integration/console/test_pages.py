"""The pages of the console: what each client sees, and what nobody does."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import pytest

from bannock.cas import EmbeddedCas
from bannock.cas.console.door import PATH
from bannock.cas.owner_config import ConfigFormat
from bannock.net.client import connect
from bannock.net.tls import Identity
from tests.integration.console.house import CANARY, HOSTILE, House

if TYPE_CHECKING:
    from pathlib import Path

_PAGES: Final = (
    "",
    "/sessions",
    "/sessions?namespace=shop",
    "/sessions/shop",
    "/sessions/shop/web",
    "/sessions/shop/billing",
    "/sessions/hostile",
    "/sessions/rates",
    "/attestations",
    "/attestations?only=refused",
    "/attestations?session=shop/web&before=30",
    "/platforms",
    "/audit",
    "/audit?before=12",
    "/style.css",
    "/icon.svg",
)
#: Elements that do something, and attributes that would.
_ACTIVE: Final = frozenset({"script", "iframe", "object", "embed", "form", "input", "button", "base", "style"})


class _Elements(HTMLParser):
    """Finds elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def _who(house: House) -> dict[str, Identity | None]:
    return {
        "owner": house.owner,
        "creator": house.creator,
        "alice": house.alice,
        "bob": house.bob,
        "nobody": None,
    }


def test_each_sees_the_sessions_that_it_may_read(house: House) -> None:
    """By the same access policies as the REST interface, page by page."""
    for name, identity in _who(house).items():
        listed = house.text(identity, "/console/sessions")
        for session in ("shop", "shop/web", "shop/billing", "rates", "hostile"):
            allowed = house.get(identity, f"/v1/sessions/{session}").status == 200
            assert allowed == (f'href="/console/sessions/{session}"' in listed), (name, session)
            assert house.get(identity, f"/console/sessions/{session}").status == (200 if allowed else 403)
    assert house.get(house.alice, "/console/sessions/none").status == 404


def test_what_the_owner_sees_is_the_owners(house: House) -> None:
    """Attestations, platforms and the audit log are refused to all others, as they are by REST."""
    for name, identity in _who(house).items():
        for page in ("attestations", "platforms", "audit"):
            status = house.get(identity, f"/console/{page}").status
            assert status == (200 if name == "owner" else 403), (name, page)
    assert "only the owner of this CAS may do this" in house.text(house.alice, "/console/audit", 403)
    assert 'href="/console/audit"' not in house.text(house.alice, "/console")


def test_names_alone_of_what_is_in_the_log(house: House) -> None:
    """The owner may not read the sessions of others; the audit log names them all the same."""
    text = house.text(house.owner, "/console/sessions")
    assert "Named in the audit log" in text
    assert "shop/billing" in text
    assert "api_key" not in text
    assert "orders" not in text


def test_no_secret_reaches_any_page(house: House) -> None:
    """Whoever asks, and whichever page: no value, command, variable or file of a session, and no key."""
    # Bring out everything that was made, too.
    with house.cas.store.reading() as view:
        made = [
            value.value.reveal()
            for name in ("shop", "shop/web", "shop/billing", "rates")
            for value in view.secret_values(name).secrets.values()
        ]
        keys = [
            key.reveal()
            for name in ("shop", "shop/web", "shop/billing", "hostile")
            for key in view.secret_values(name).volume_keys.values()
        ]
    assert len(made) >= 3
    assert keys
    forms = {form for value in (*made, *keys) for form in (value, value.hex().encode()) if len(value) > 4}
    for identity in _who(house).values():
        for page in _PAGES:
            answer = house.get(identity, f"{PATH}{page}")
            shown = answer.body + str(answer.headers).encode()
            assert CANARY.encode() not in shown, page
            assert CANARY.encode().hex().encode() not in shown, page
            for form in forms:
                assert form not in shown, page


def test_names_are_texts(house: House) -> None:
    """Whoever chooses a name for a volume or an image does not write the page."""
    for page in ("/sessions", "/sessions/hostile", "/sessions/shop"):
        text = house.text(house.alice, f"/console{page}")
        found = _Elements(text)
        assert not found.tags & {*_ACTIVE, "img"}
        assert not [name for name, _ in found.attributes if name.startswith("on")]
        assert "\u202e" not in text
        assert "49" not in re.findall(r"`(.*?)\\u\{202e\}", text)
    shown = html.unescape(house.text(house.alice, "/console/sessions/hostile"))
    assert HOSTILE.replace("\u202e", "\\u{202e}") in shown


def test_nothing_active_and_nothing_from_elsewhere(house: House) -> None:
    """No script, form, frame or inline style; every address is one of the console."""
    for page in _PAGES[:-2]:
        found = _Elements(house.get(house.owner, f"/console{page}").body.decode())
        assert not found.tags & _ACTIVE, page
        for name, value in found.attributes:
            assert name != "style"
            assert not name.startswith("on")
            if name in ("href", "src"):
                assert value.startswith("/console"), value


def test_pages_are_well_formed(house: House) -> None:
    """The picture is XML as it stands."""
    text = house.text(house.alice, "/console/sessions")
    picture = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])  # noqa: S314 - our own
    names = [element.text for element in picture.iter("text")]
    assert "shop/billing" in names
    assert "bank/rates" in names


def test_headers(house: House) -> None:
    """Every answer says the same: run nothing, keep nothing, frame nothing; and sets no cookie."""
    for page in (*_PAGES, "/none", "/sessions/none"):
        headers = house.get(house.bob, f"/console{page}").headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["style-src"] == policy["img-src"] == "'self'"
        assert policy["form-action"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_answers_questions_only(house: House, method: str) -> None:
    """Whatever else is asked of it, is refused."""
    answer = house.get(house.owner, "/console/sessions", method, b"name: other")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_head_has_no_body(house: House) -> None:
    """And the length that the page would have."""
    answer = house.get(house.owner, "/console/audit", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


def test_looking_changes_nothing(house: House) -> None:
    """No page adds to the store or the audit log, nor does a question that is refused."""
    before = None
    while (now := house.cas.store.changes) != before:  # what enclaves left to be told is told
        before = now
        time.sleep(0.3)
    for identity in _who(house).values():
        for page in _PAGES:
            house.get(identity, f"/console{page}")
            house.get(identity, f"/console{page}", "POST")
    assert house.cas.store.changes == before


def test_reasons_of_refusals(house: House) -> None:
    """Each refusal with all that the audit log has: what came, and what was expected."""
    text = html.unescape(house.text(house.owner, "/console/attestations?only=refused"))
    assert "✗ refused" in text
    assert "✓ attested" not in text
    assert f"Unexpected measurement (MRENCLAVE, {'66' * 32})" in re.sub(r"\s+", " ", text) or "66" * 32 in text
    assert "Unexpected machine" in text or "Unexpected platform" in text
    web = house.text(house.owner, "/console/attestations?session=shop/web")
    assert "shop/billing" not in web


def test_the_log_is_verified(house: House) -> None:
    """From the first entry to the newest one; some of it at a time if it is long."""
    deadline = time.monotonic() + 20
    while "✓ Verified" not in (text := house.text(house.owner, "/console/audit")):
        assert "Verifying" in text
        assert time.monotonic() < deadline
    assert "service attested" in text
    older = re.search(r"/console/audit\?before=(\d+)\">older", text)
    if older is not None:
        assert "cas started" in house.text(house.owner, "/console/audit?before=40")


def test_platforms(house: House) -> None:
    """Machines with the vendor's word for them, and until when it holds."""
    text = house.text(house.owner, "/console/platforms")
    assert "sim (rehearses tdx)" in text
    assert "sim (rehearses sgx)" in text
    assert "UpToDate" in text
    assert "Good until" in text
    assert "shop/web/web" in text


def test_live_pages(house: House) -> None:
    """They are made anew by the browser, as long as the reader does not stop that."""
    assert '<meta http-equiv="refresh"' in house.text(house.owner, "/console/attestations?only=refused")
    stopped = house.text(house.owner, "/console/attestations?only=refused&live=no")
    assert "http-equiv" not in stopped
    assert 'href="/console/attestations?only=refused"' in stopped


@pytest.mark.parametrize(
    "path",
    ["/console/../v1/owner", "/console/%2e%2e/etc/passwd", "/console//sessions", "/console/templates/base.html"],
)
def test_there_are_no_other_pages(house: House, path: str) -> None:
    """No file is reached by its name."""
    assert house.get(house.owner, path).status == 404


@pytest.mark.parametrize("query", ["before=0", "before=-1", "before=x", "before=" + "9" * 16, "only=%00", "a=1&" * 60])
def test_odd_questions(house: House, query: str) -> None:
    """A query that is none is as if it were not there."""
    assert house.get(house.owner, f"/console/attestations?{query}").status == 200
    assert house.get(house.owner, f"/console/audit?{query}").status == 200


def test_a_question_that_is_too_long(house: House) -> None:
    """It is not taken apart."""
    assert house.get(house.owner, f"/console/sessions?namespace={'x' * 3000}").status == 414


def test_another_site_posts_a_session(house: House) -> None:
    """A form on another site, with the certificate of whoever looks at it, changes nothing and reads nothing."""
    document = b'name: forged\nversion: "0.3.11"\n'
    told = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert house.raw(house.alice, "POST", "/v1/sessions", told, document) == 403
    assert house.raw(house.alice, "POST", "/v1/sessions", {"origin": "https://evil.example"}, document) == 403
    assert house.get(house.alice, "/v1/sessions/forged").status == 404
    assert house.raw(house.alice, "GET", "/console/sessions", {**told, "sec-fetch-dest": "iframe"}) == 403
    assert house.raw(house.alice, "GET", "/console/sessions", told) == 200


def test_before_there_is_an_owner(tmp_path: Path) -> None:
    """A CAS that needs one says so, and shows nothing; with the owner, it shows what it shows."""
    owner = Identity.generate("owner")
    with (
        EmbeddedCas(tmp_path / "cas", provisioning_required=True) as running,
        connect(*running.client_address, owner, expected_peer=running.key_hash) as client,
    ):
        for page in ("", "/sessions", "/audit"):
            answer = client.request("GET", f"/console{page}")
            assert answer.status == 403
            assert b"scone cas provision" in answer.body
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert client.request("GET", "/console/style.css").status == 200
        running.cas.owner.provision(owner.key_hash, running.cas.owner.token or "", "", ConfigFormat.TOML)
        assert client.request("GET", "/console/audit").status == 200


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ('sink = "file"\nkeep = "checkpoints"', b"The database keeps checkpoints alone"),
        ('mode = "disabled"', b"The audit log is disabled"),
        ('mode = "unsigned"\nsink = "database"', b"have no signature"),
    ],
)
def test_a_log_that_is_kept_elsewhere(tmp_path: Path, config: str, shown: bytes) -> None:
    """The pages say that they lack its entries, and why."""
    owner = Identity.generate("owner")
    with EmbeddedCas(tmp_path / "cas") as running:
        token = running.cas.owner.token or ""
        running.cas.owner.provision(owner.key_hash, token, f"[audit_log]\n{config}\n", ConfigFormat.TOML)
        running.cas.store.tell("service_attested", {"session": "one", "service": "app"})
        with connect(*running.client_address, owner, expected_peer=running.key_hash) as client:
            answer = client.request("GET", "/console/audit")
            assert (answer.status, shown in answer.body) == (200, True), answer.body.decode()
            for page in ("attestations", "platforms"):
                assert client.request("GET", f"/console/{page}").status == 200


def test_a_console_that_is_not_wished_for(tmp_path: Path) -> None:
    """It is not there, and nothing of it is loaded."""
    program = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from bannock.cas import Cas, CasConfig; from bannock.cas.serving import endpoints\n"
        "from bannock.net.address import Address; from bannock.net.server import ThreadedServer\n"
        "from bannock.net.client import connect; any_port = Address('127.0.0.1', 0)\n"
        "for console in (False, True):\n"
        "    files = CasConfig.in_directory(Path(sys.argv[1]))\n"
        "    config = replace(files, api=any_port, enclave=any_port, console=console)\n"
        "    with Cas(config) as cas, ThreadedServer(*endpoints(cas, config)) as server:\n"
        "        assert 'jinja2' not in sys.modules\n"
        "        with connect('127.0.0.1', server.ports[0], None, expected_peer=None) as client:\n"
        "            print(client.request('GET', '/console').status, 'jinja2' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cas")], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["404 False", "200 True"]
