"""The forecast: what is remembered of evidence, when it would stop, and what new collateral would change."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import pytest

from bannock.cas.remembered import recall
from bannock.errors import DeniedError, EvidenceError
from bannock.evidence.collateral.bundle import open_bundle
from bannock.evidence.endorsements import Endorsements
from bannock.net.tls import Identity
from bannock.values import KeyHash
from tests.integration.cas.forecast_site import ALICE, NOW, SESSION, Site
from tests.unit.cas.documents import MEASUREMENT
from tests.unit.evidence.collateral.conftest import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A CAS that has seen two services on a machine that rehearses TDX, and one on SGX."""
    running = Site(tmp_path)
    running.post("one", f"{{tolerate: [simulation], machines: [{running.rule('tdx')}]}}")
    running.post("two", f"{{tolerate: [simulation], machines: [{running.rule('tdx')}]}}")
    running.post("enclave", "{tolerate: [simulation]}")
    running.start("tdx", "one")
    running.start("tdx", "two")
    running.start("sgx", "enclave")
    yield running
    running.close()


def test_the_first_to_stop_comes_first(site: Site) -> None:
    """Every service is told with its machine, until when its evidence holds, and what ends then."""
    found = site.ask("GET", "/v1/owner/forecast")
    assert found["at"] == "2025-07-04T10:16:30Z"
    assert sorted(each["session"] for each in found["outlooks"]) == ["enclave", "one", "two"]
    untils = [each["until"] for each in found["outlooks"]]
    assert untils == sorted(untils)
    one = next(each for each in found["outlooks"] if each["session"] == "one")
    assert (one["service"], one["platform"], one["stopped"]) == ("app", "sim (rehearses tdx)", False)
    assert one["seen"] == "2025-07-04T10:16:30Z"
    assert "nextUpdate" in one["why"][0]
    assert one["remedy"]
    left = dt.datetime.fromisoformat(one["until"]) - NOW
    assert site.ask("GET", f"/v1/owner/forecast?days={left.days - 1}")["outlooks"] == []
    assert len(site.ask("GET", f"/v1/owner/forecast?days={left.days}")["outlooks"]) == 3


def test_what_it_foretells_happens(site: Site) -> None:
    """A second before the end the service starts; from the end on it does not, and the forecast says so."""
    (first, *_) = [each for each in site.cas.forecasting.forecast() if each.session == "one"]
    assert first.until is not None
    site.now = first.until - dt.timedelta(seconds=1)
    assert not [each for each in site.cas.forecasting.forecast() if each.stopped]
    site.now = first.until
    stopped = [each for each in site.cas.forecasting.forecast() if each.stopped]
    assert [each.session for each in stopped] == ["enclave", "one", "two"]
    assert "expired" in " ".join(stopped[1].why)
    with pytest.raises(DeniedError):
        site.start("tdx", "one")


def test_the_session_in_force_decides_too(site: Site) -> None:
    """A session that was updated since may refuse what it accepted; one without the service any more tells nothing."""
    stored, _ = _newest(site, "one")
    text = SESSION.format(name="one", measurement=MEASUREMENT, attestation="{mode: hardware}")
    site.cas.sessions.post(text.replace('version: "', f'predecessor: {stored}\nversion: "'), ALICE)
    stored, _ = _newest(site, "two")
    text = SESSION.format(name="two", measurement=MEASUREMENT, attestation="{tolerate: [simulation]}")
    text = text.replace("name: app", "name: other").replace('version: "', f'predecessor: {stored}\nversion: "')
    site.cas.sessions.post(text, ALICE)
    found = {each.session: each for each in site.cas.forecasting.forecast()}
    assert found["one"].stopped
    assert "two" not in found
    assert not found["enclave"].stopped


def test_a_stricter_version_is_tried_on_the_machines_that_there_are(site: Site) -> None:
    """What it would refuse, and why, before it is in force; other sessions are not asked, and nothing is changed."""

    def ask(attestation: str) -> Any:
        text = SESSION.format(name="one", measurement=MEASUREMENT, attestation=attestation)
        return site.ask("POST", "/v1/owner/forecast/replay", text.encode())

    rule = site.rule("tdx")
    same = ask(f"{{tolerate: [simulation], machines: [{rule}]}}")
    assert (same["total"], same["stops"], same["recovers"]) == (1, [], [])
    other = ask("{tolerate: [simulation], machines: [{tdx: {mrtd: " + "ef" * 48 + "}}]}")
    assert (other["total"], len(other["stops"])) == (1, 1)
    (stopped,) = other["stops"]
    assert (stopped["session"], stopped["service"], stopped["stopped"]) == ("one", "app", True)
    assert any("Unexpected machine (MRTD, " in line for line in stopped["why"])
    assert not [each for each in site.cas.forecasting.forecast() if each.stopped]
    strict = ask(f"{{machines: [{rule}]}}")
    assert any("Unexpected platform (platform, sim)" in line for line in strict["stops"][0]["why"])
    # A version in force that refuses it, and one that would let it in again.
    stored, _ = _newest(site, "one")
    text = SESSION.format(name="one", measurement=MEASUREMENT, attestation="{mode: hardware}")
    site.cas.sessions.post(text.replace('version: "', f'predecessor: {stored}\nversion: "'), ALICE)
    again = ask(f"{{tolerate: [simulation], machines: [{rule}]}}")
    assert (len(again["stops"]), len(again["recovers"])) == (0, 1)


@pytest.mark.parametrize("body", [b"", b"nonsense: x", b"\xff", b"{}", b"- a"])
def test_what_is_no_session_is_not_tried(site: Site, body: bytes) -> None:
    """With its issues, as everywhere."""
    with site.client() as connection:
        assert connection.request("POST", "/v1/owner/forecast/replay", body).status == 400


def _newest(site: Site, name: str) -> tuple[str, Any]:
    with site.cas.store.reading() as view:
        stored, session = site.cas.sessions.newest(view, name)
    return stored.digest, session


def test_one_quote_is_kept_once(site: Site) -> None:
    """Services of one machine share it; what is written anew is written seldom, and what has gone is forgotten."""
    with site.cas.store.reading() as view:
        remembered = list(recall(view))
    assert len(remembered) == 3
    assert len({each.quote for each in remembered}) == 2
    assert len({each.machine for each in remembered if each.session != "enclave"}) == 1
    _wait_for_exits(site, 3)
    changes = site.cas.store.changes
    site.start("tdx", "one")
    _wait_for_exits(site, 4)
    with site.cas.store.reading() as view:
        again = list(recall(view))
    assert sorted(each.to_json() for each in again) == sorted(each.to_json() for each in remembered)
    # The entries of its start and of its end.
    assert site.cas.store.changes == changes + 2
    site.now += dt.timedelta(days=91)
    site.cas.tend()
    with site.cas.store.reading() as view:
        assert list(recall(view)) == []
    assert site.cas.forecasting.forecast() == []


def _wait_for_exits(site: Site, count: int) -> None:
    """Wait until the audit log has told of so many services that they have gone."""
    deadline = time.monotonic() + 20
    while [entry.event for entry in site.cas.audit_log()].count("service_exited") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_collateral_that_is_brought(site: Site) -> None:
    """What a vendor vouches for is kept and told in the audit log; what none does is refused, with the reason."""
    genuine = (EVIDENCE / "dcap/tdx-v4-uptodate.collateral.json").read_text()
    changed = genuine.replace('tcbEvaluationDataNumber\\":17', 'tcbEvaluationDataNumber\\":99')
    assert changed != genuine
    body = Endorsements(dcap=(genuine, changed)).to_json()
    answer = site.ask("PUT", "/v1/owner/collateral", body)
    assert answer["kept"] == ["dcap/tdx-B0C06F000000-platform.json"]
    assert len(answer["refused"]) == 1
    assert site.cas.endorsing.library.store.held().intel[0].text == genuine
    assert site.ask("PUT", "/v1/owner/collateral", body)["kept"] == []
    entry = next(each for each in reversed(site.cas.audit_log()) if each.event == "collateral_imported")
    assert entry.facts["refused"] == answer["refused"]
    with site.client() as connection:
        assert connection.request("PUT", "/v1/owner/collateral", b"{}").status == 400


def test_a_bundle(site: Site) -> None:
    """It is signed by the CAS, and says what is missing; make-believe vendors have nothing to add."""
    text = site.ask("GET", "/v1/owner/collateral?refresh=true").decode()
    bundle = open_bundle(text, cas=site.cas.key_hash)
    assert (bundle.at, bundle.missing) == (NOW.replace(microsecond=0), ())
    assert bundle.endorsements == Endorsements()
    with pytest.raises(EvidenceError, match="is of the CAS"):
        open_bundle(text, cas=KeyHash(bytes(32)))
    head, payload, signature = text.split(".")
    for other in (f"{head}.{payload[:-4]}AAAA.{signature}", f"{head}.{payload}.{'A' * len(signature)}", "a.b.c", ""):
        with pytest.raises(EvidenceError):
            open_bundle(other)


def test_only_the_owner_may(site: Site) -> None:
    """Nobody else learns which sessions there are, or brings collateral."""
    body = Endorsements().to_json()
    with site.client(Identity.generate("mallory")) as connection:
        for method, path, sent in (
            ("GET", "/v1/owner/forecast", b""),
            ("GET", "/v1/owner/collateral", b""),
            ("PUT", "/v1/owner/collateral", body),
            ("POST", "/v1/owner/collateral/replay", body),
            ("POST", "/v1/owner/forecast/replay", b"name: one"),
        ):
            assert connection.request(method, path, sent).status == 403


def test_the_metric_names_no_session(site: Site) -> None:
    """It tells of platforms, how long the first service there has."""
    assert site.cas.metrics is not None
    text = site.cas.metrics.text().decode()
    lines = [line for line in text.splitlines() if line.startswith("bannock_attestation_expiry_seconds{")]
    assert [line.rpartition(" ")[0] for line in lines] == [
        'bannock_attestation_expiry_seconds{platform="sim (rehearses sgx)"}',
        'bannock_attestation_expiry_seconds{platform="sim (rehearses tdx)"}',
    ]
    seconds = float(lines[1].rpartition(" ")[2])
    first = next(each for each in site.cas.forecasting.forecast() if each.session == "one")
    assert first.until is not None
    assert seconds == (first.until - NOW).total_seconds()
    site.now += dt.timedelta(days=200)
    assert set(site.cas.forecasting.expiry().values()) == {0.0}


def test_a_replay_at_another_time(site: Site) -> None:
    """Nothing new changes nothing; at a time when everything has ended anyway, too."""
    found = site.ask("POST", "/v1/owner/collateral/replay", Endorsements().to_json())
    assert (found["total"], found["stops"], found["recovers"], found["refused"]) == (3, [], [], [])
    found = site.ask("POST", "/v1/owner/collateral/replay?at=2026-07-04T00:00:00Z", Endorsements().to_json())
    assert (found["at"], found["total"]) == ("2026-07-04T00:00:00Z", 3)
    with site.client() as connection:
        answer = connection.request("POST", "/v1/owner/collateral/replay?at=tomorrow", Endorsements().to_json())
        assert answer.status == 400
