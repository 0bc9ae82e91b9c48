"""The attack table: what a host can do with evidence, on every platform, and the reason that each is refused with.

Evidence is made by make-believe vendors in the genuine formats, and appraised by the verifiers of genuine evidence.
Every attack begins with evidence that would be accepted, which the first test holds. Commits, singletons and second
factors have tables of their own beside this one.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.cas import Cas, CasConfig
from bannock.cas.collateral_config import CollateralConfig
from bannock.cas.engines import WORKERS
from bannock.cas.serving import endpoints
from bannock.errors import BannockError, DeniedError, PeerError, causes
from bannock.evidence.attester import KeyAttester, SimAttester
from bannock.evidence.endorsements import NO_ENDORSEMENTS, Endorsements
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX
from bannock.evidence.quotes import SnpQuote, TdxQuote
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.las.rehearsal import rehearse
from bannock.net.address import Address
from bannock.net.server import ThreadedServer
from bannock.policy.machines import rule_for
from bannock.values import KeyHash, Measurement
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.evidence.envelope import Envelope
    from bannock.evidence.platforms import ReportAttester
    from tests.integration.cas.enclaves import Enclave

_ALICE: Final = KeyHash(b"a" * 32)
_NOW: Final = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
_DATA: Final = Path(__file__).parents[2] / "data" / "evidence"
_DOCS: Final = Path(__file__).parents[3] / "docs"
_SIGNER: Final = "22" * 32
_MACHINES: Final = ("tdx", "sev-snp", "tpm")
_PLATFORMS: Final = ("sgx", *_MACHINES)
#: What every quote has its statement in, by platform.
_SIGNED_PART: Final = {"sgx": "quote", "tdx": "quote", "sev-snp": "report", "tpm": "attest"}
#: What another machine of the host has booted.
_OTHER: Final[Mapping[str, Mapping[str, str]]] = {
    "sgx": {},
    "tdx": {"rtmr1": "ab" * 48},
    "sev-snp": {"measurement": "ab" * 48},
    "tpm": {"pcr.sha256.4": "ab" * 32},
}
_SESSION: Final = """
name: {name}
version: "0.3.11"
services:
  - name: app
    command: app
    attestation: {{mrenclave: ["{measurement}"], signer: {{mrsigner: {signer}, isvprodid: 0}}}}
security:
  attestation: {attestation}
"""


class _Host:
    """An attacker's host, with all platforms, beside a CAS whose clock it does not rule."""

    def __init__(self, directory: Path) -> None:
        self.now = _NOW
        self._directory = directory
        loopback = Address("127.0.0.1", 0)
        # What vendors vouch for comes along with the evidence, and nobody is asked for more.
        offline = CollateralConfig(offline=True)
        files = CasConfig.in_directory(directory / "cas")
        self._config = replace(files, api=loopback, enclave=loopback, collateral=offline)
        self.cas = Cas(self._config, clock=lambda: self.now)
        self._server = ThreadedServer(*endpoints(self.cas, self._config))
        self._server.start()
        # All threads that it will ever have are there before a test looks which ones there are.
        together = threading.Barrier(WORKERS + 1)
        for _ in range(WORKERS):
            self.cas._workers.submit(together.wait)
        together.wait()
        self.attester = cache(self._attester)
        rules = ", ".join(filter(None, [rule_for(self._claims(platform)) for platform in _MACHINES]))
        self.post("demo", f"{{tolerate: [simulation], machines: [{rules}]}}")
        self.post("another", f"{{tolerate: [simulation], machines: [{rules}]}}")
        self.post("production", f"{{machines: [{rules}]}}")
        self.post("strict", "{tolerate: [simulation]}")

    def close(self) -> None:
        """Stop the CAS."""
        self._server.stop()
        self.cas.close()

    def post(self, name: str, attestation: str) -> None:
        """Make a session."""
        text = _SESSION.format(name=name, measurement=MEASUREMENT, signer=_SIGNER, attestation=attestation)
        self.cas.sessions.post(text, _ALICE)

    @contextmanager
    def enclave(self, platform: str, knobs: str = "", *, machine: str = "one") -> Iterator[Enclave]:
        """Start an enclave on a machine of the host."""
        address = Address("127.0.0.1", self._server.ports[1])
        with enclave(address, self.cas.key_hash) as connected:
            connected.attester = self.attester(platform, knobs, machine)
            yield connected

    def _attester(self, platform: str, knobs: str, machine: str) -> ReportAttester:
        # One machine, whatever goes wrong with it.
        place = self._directory / machine
        rehearsal = Rehearsal.parse(filter(None, knobs.split(",")))
        measured = _OTHER[platform] if machine == "two" else {}
        return rehearse(platform, rehearsal, place, machine=measured, clock=lambda: self.now)

    def _claims(self, platform: str) -> Any:
        report = _report(b"d" * 64)
        envelope = self.attester(platform, "", "one").attest(report).to_json()
        return verify(envelope, expected_report_data=report.data, at=_NOW, endorsements=NO_ENDORSEMENTS).claims


def _report(data: bytes) -> Report:
    return Report(
        measurement=MEASUREMENT, signer=Measurement.from_hex(_SIGNER), product_id=0, svn=0, debug=False, data=data
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Host]:
    """One CAS for all attacks: none of them may leave anything behind."""
    running = _Host(tmp_path_factory.mktemp("attacks"))
    yield running
    running.close()


def _refused(call: Callable[[], object]) -> list[str]:
    """Give every line of a refusal."""
    with pytest.raises((DeniedError, PeerError)) as caught:
        call()
    return [
        line
        for cause in causes(caught.value)
        for line in (str(cause), *(cause.reasons if isinstance(cause, BannockError) else ()))
    ]


def _require(reason: str, told: list[str]) -> None:
    assert any(reason in line for line in told), told


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_evidence_without_an_attack_is_accepted(host: _Host, platform: str) -> None:
    """Where simulation is tolerated; the audit log tells what it was."""
    with host.enclave(platform) as app:
        assert app.attest().argv == ("app",)
    entry = next(each for each in reversed(host.cas.audit_log()) if each.event == "service_attested")
    assert entry.facts["platform"] == f"sim (rehearses {platform})"
    assert entry.facts["machine"]


# Bound to something else.


def _without_a_nonce(_host: _Host, app: Enclave) -> dict[str, Any]:
    return app.evidence(b"n" * 32)


def _twice(_host: _Host, app: Enclave) -> dict[str, Any]:
    evidence = app.evidence(app.nonce())
    app.present(evidence)
    return evidence


def _for_another_session(_host: _Host, app: Enclave) -> dict[str, Any]:
    evidence = app.evidence(app.nonce())
    app.present(evidence, session="another")
    return evidence


def _with_a_new_nonce(host: _Host, app: Enclave) -> dict[str, Any]:
    evidence = _for_another_session(host, app)
    app.nonce()
    return evidence


def _of_an_older_nonce(_host: _Host, app: Enclave) -> dict[str, Any]:
    evidence = app.evidence(app.nonce())
    app.nonce()
    return evidence


def _of_the_victims_connection(host: _Host, app: Enclave) -> dict[str, Any]:
    """The nonce of the relay's connection, and evidence that an honest enclave makes for its own."""
    with host.enclave("sgx") as victim:
        victim.attester = app.attester
        return victim.evidence(app.nonce())


def _of_the_victims_key(host: _Host, app: Enclave) -> dict[str, Any]:
    """Everything of this connection, but the key of the honest enclave."""
    with host.enclave("sgx") as victim:
        return app.evidence(app.nonce(), key=victim.identity.key_hash)


def _of_the_victims_exporter(host: _Host, app: Enclave) -> dict[str, Any]:
    """Key and nonce of this connection, as seen by an enclave at its other end."""
    with host.enclave("sgx") as victim:
        return app.evidence(app.nonce(), exporter=victim.connection.exporter())


@pytest.mark.parametrize("platform", _PLATFORMS)
@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (_without_a_nonce, "no nonce is open on this connection"),
        (_twice, "no nonce is open on this connection"),
        (_for_another_session, "no nonce is open on this connection"),
        (_with_a_new_nonce, "made for another attestation"),
        (_of_an_older_nonce, "made for another attestation"),
        (_of_the_victims_connection, "made for another attestation"),
        (_of_the_victims_key, "made for another attestation"),
        (_of_the_victims_exporter, "made for another attestation"),
    ],
)
def test_evidence_is_good_once_on_its_connection(
    host: _Host, platform: str, attack: Callable[[_Host, Enclave], dict[str, Any]], reason: str
) -> None:
    """Neither replayed, nor relayed, nor for another session, nor for another key."""
    with host.enclave(platform) as app:
        evidence = attack(host, app)
        _require(reason, _refused(lambda: app.present(evidence)))


# Put together of genuine parts.


def _decoded(evidence: dict[str, Any], part: str) -> bytes:
    return base64.b64decode(evidence["quote"][part])


def _with_quote(evidence: dict[str, Any], **parts: bytes) -> dict[str, Any]:
    changed = copy.deepcopy(evidence)
    changed["quote"] |= {name: base64.b64encode(value).decode("ascii") for name, value in parts.items()}
    return changed


def _other_report(evidence: dict[str, Any], **changes: object) -> dict[str, Any]:
    report = json.loads(base64.b64decode(evidence["report"])) | changes
    text = json.dumps(report, sort_keys=True, separators=(",", ":"))
    return evidence | {"report": base64.b64encode(text.encode("ascii")).decode("ascii")}


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_changed_report_is_refused(host: _Host, platform: str) -> None:
    """What was measured, who signed it, its version, its mode, its start: each is signed."""
    reason = "not the one in the SGX quote" if platform == "sgx" else "the signature of the report does not verify"
    changes: tuple[dict[str, object], ...] = (
        {"mrenclave": "33" * 32},
        {"mrsigner": "33" * 32},
        {"product_id": 1},
        {"svn": 1},
        {"debug": True},
        {"instance": "44" * 32},
    )
    for change in changes:
        with host.enclave(platform) as app:
            evidence = _other_report(app.evidence(app.nonce()), **change)
            _require(reason, _refused(lambda app=app, evidence=evidence: app.present(evidence)))  # type: ignore[misc]


@pytest.mark.parametrize("platform", _MACHINES)
def test_a_quote_vouches_for_one_key(host: _Host, platform: str) -> None:
    """The attacker's LAS with the quote of an honest machine, under either of the keys."""
    attacker = Ed25519PrivateKey.generate()
    public = attacker.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for key, reason in ((public, "vouches for another key"), (None, "the signature of the report does not verify")):
        with host.enclave(platform) as app:
            honest = app.evidence(nonce := app.nonce())
            app.attester = SimAttester(attacker)
            forged = app.evidence(nonce)
            forged |= {"quote": honest["quote"], "endorsements": honest["endorsements"]}
            if key is not None:
                forged = _with_quote(forged, key=key)
            _require(reason, _refused(lambda app=app, forged=forged: app.present(forged)))  # type: ignore[misc]


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_machine_of_another_vendor_does_not_borrow_endorsements(host: _Host, platform: str) -> None:
    """What an honest vendor vouches for is not what this quote needs, and without it nothing is believed."""
    with host.enclave(platform, machine="two") as other, host.enclave(platform) as app:
        borrowed = app.evidence(app.nonce())["endorsements"]
        evidence = other.evidence(other.nonce()) | {"endorsements": borrowed}
        if platform == "tpm":  # its certificates are in the quote
            evidence |= {"quote": evidence["quote"] | {"ak_certificates": [], "ek_certificates": []}}
        told = _refused(lambda: other.present(evidence))
        assert not any("is not trustworthy" in line for line in told), told


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_quotes_of_one_platform_are_none_of_another(host: _Host, platform: str) -> None:
    """Parts under another name, and quotes of another kind under the same one."""
    with host.enclave(platform) as app:
        for other in {"sim", *_PLATFORMS} - {platform}:
            evidence = app.evidence(app.nonce())
            evidence["quote"]["platform"] = other
            told = _refused(lambda evidence=evidence: app.present(evidence))  # type: ignore[misc]
            assert not any("is not trustworthy" in line for line in told), told


@pytest.mark.parametrize("platform", ["sgx", "tdx", "sev-snp"])
def test_a_quote_is_neither_longer_nor_shorter(host: _Host, platform: str) -> None:
    """Truncated anywhere, or with bytes after its end."""
    part = _SIGNED_PART[platform]
    with host.enclave(platform) as app:
        whole = _decoded(app.evidence(app.nonce()), part)
        for length in (0, 1, 47, 48, 431, 432, 435, len(whole) // 2, len(whole) - 1):
            evidence = _with_quote(app.evidence(app.nonce()), **{part: whole[:length]})
            told = _refused(lambda evidence=evidence: app.present(evidence))  # type: ignore[misc]
            assert not any("is not trustworthy" in line for line in told), told
        longer = app.evidence(app.nonce())
        longer = _with_quote(longer, **{part: _decoded(longer, part) + b"\1"})
        told = _refused(lambda: app.present(longer))
        assert not any("is not trustworthy" in line for line in told), told


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_changed_byte_of_a_quote_is_refused(host: _Host, platform: str) -> None:
    """Everywhere in what the platform signs; the verifiers' own tests flip every bit."""
    part = _SIGNED_PART[platform]
    with host.enclave(platform) as app:
        size = len(_decoded(app.evidence(app.nonce()), part))
        for position in range(3, size, max(1, size // 20)):
            evidence = app.evidence(app.nonce())
            data = bytearray(_decoded(evidence, part))
            data[position] ^= 0x10
            changed = _with_quote(evidence, **{part: bytes(data)})
            told = _refused(lambda changed=changed: app.present(changed))  # type: ignore[misc]
            assert not any("is not trustworthy" in line for line in told), (position, told)


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_evidence_that_is_too_long_costs_nothing(host: _Host, platform: str) -> None:
    """Its length is looked at before anything else."""
    with host.enclave(platform) as app:
        evidence = app.evidence(app.nonce())
        evidence["endorsements"] = "A" * ENVELOPE_BYTES_MAX
        _require("at most", _refused(lambda: app.present(evidence)))


# The platform is not what it should be.

_EXPIRED: Final = {
    "sgx": "expired at 2026-01-30",
    "tdx": "expired at 2026-01-30",
    "sev-snp": "is past its date",
    "tpm": "has expired",
}


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_collateral_past_its_date_is_refused(host: _Host, platform: str) -> None:
    """Whatever the session tolerates: what it said is not known to be true any more."""
    with host.enclave(platform, "expired-collateral") as app:
        _require(_EXPIRED[platform], _refused(app.attest))


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_revoked_key_is_refused(host: _Host, platform: str) -> None:
    """The list that came along says so."""
    with host.enclave(platform, "revoked") as app:
        _require("was revoked", _refused(app.attest))


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_evidence_of_another_attestation_is_refused(host: _Host, platform: str) -> None:
    """The attester itself answers with what it made before."""
    reason = "not the one in the SGX quote" if platform == "sgx" else "vouches for another key"
    with host.enclave(platform, "replay") as app:
        _require(reason, _refused(app.attest))


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_debug_enclave_is_refused(host: _Host, platform: str) -> None:
    """Simulation is tolerated here, debugging is not."""
    with host.enclave(platform, "debug") as app:
        app.debug = platform == "sgx"
        _require("Unexpected enclave mode (DEBUG, true) - Expected false", _refused(app.attest))


@pytest.mark.parametrize("platform", ["sgx", "tdx"])
@pytest.mark.parametrize("weakness", ["outdated-tcb", "software-hardening-needed", "insecure-configuration"])
def test_a_weak_platform_is_refused_with_each_of_its_advisories(host: _Host, platform: str, weakness: str) -> None:
    """And accepted by a session that names all of them."""
    with host.enclave(platform, weakness) as app:
        told = _refused(app.attest)
        _require(f"Unexpected state of the platform ({weakness}, true) - Expected false", told)
        advisories = sorted(line.split("(")[1].split(",")[0] for line in told if "Unexpected advisory (" in line)
        assert advisories
        rule = "" if platform == "sgx" else f", machines: [{rule_for(host._claims(platform))}]"
        name = f"lenient-{platform}-{weakness}"
        host.post(
            name,
            f"{{tolerate: [simulation, {weakness}], ignore_advisories: [{', '.join(advisories)}]{rule}}}",
        )
        assert app.attest(session=name).argv
        for missing in advisories:
            others = [each for each in advisories if each != missing]
            short = f"{name}-{missing[-3:]}"
            host.post(short, f"{{tolerate: [simulation, {weakness}], ignore_advisories: [{', '.join(others)}]{rule}}}")
            refused = _refused(lambda short=short: app.attest(session=short))  # type: ignore[misc]
            _require(f"Unexpected advisory ({missing}, applies) - Expected none", refused)


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_make_believe_vendor_is_no_vendor(host: _Host, platform: str) -> None:
    """A session that does not tolerate simulation takes none of its evidence."""
    with host.enclave(platform) as app:
        told = _refused(lambda: app.attest(session="production"))
        _require("Unexpected platform (platform, sim) - Expected hardware that protects the enclave", told)


def test_a_make_believe_root_does_not_come_along(host: _Host) -> None:
    """What is trusted for its own sake is set by who runs the CAS; an envelope has no place for it."""
    with host.enclave("tdx") as app:
        evidence = app.evidence(app.nonce())
        endorsements = json.loads(base64.b64decode(evidence["endorsements"])) | {"roots": []}
        text = json.dumps(endorsements, sort_keys=True, separators=(",", ":"))
        evidence["endorsements"] = base64.b64encode(text.encode()).decode()
        _require("endorsements have the keys", _refused(lambda: app.present(evidence)))


@pytest.mark.parametrize("platform", _MACHINES)
def test_another_machine_is_refused(host: _Host, platform: str) -> None:
    """The vendor vouches for it as well, and anything may run on it: a LAS of the attacker's, say."""
    with host.enclave(platform, machine="two") as app:
        ((name, value),) = _OTHER[platform].items()
        told = _refused(app.attest)
        _require(f"Unexpected machine ({'PCR 4 (sha256)' if platform == 'tpm' else name.upper()}, {value})", told)
    with host.enclave(platform) as app:
        told = _refused(lambda: app.attest(session="strict"))
        _require(f"Unexpected machine (platform, {platform}) - Expected one that the session lists", told)
        with pytest.raises(DeniedError) as caught:
            app.attest(session="strict")
        hints = [cause.hint for cause in causes(caught.value) if isinstance(cause, BannockError) and cause.hint]
        assert hints[0].endswith(f"machines: [{rule_for(host._claims(platform))}]}}")


# Genuine evidence of others.


class _Borrowed:
    """An attester with a key of its own, and a quote that somebody published."""

    def __init__(self, quote: Callable[[bytes], tuple[Any, bytes]]) -> None:
        self._attester = KeyAttester(Ed25519PrivateKey.generate(), quote)

    def attest(self, report: Report) -> Envelope:
        return self._attester.attest(report)


def _genuine(host: _Host, borrowed: _Borrowed, at: dt.datetime) -> list[str]:
    try:
        with host.enclave("sgx") as app:
            app.attester = borrowed
            host.now = at
            return _refused(app.attest)
    finally:
        host.now = _NOW


def test_a_genuine_quote_of_tdx_vouches_for_nobody_else(host: _Host) -> None:
    """At a time when Intel vouches for it."""
    quote = (_DATA / "dcap" / "tdx-v4-uptodate.quote").read_bytes()
    collateral = (_DATA / "dcap" / "tdx-v4-uptodate.collateral.json").read_text()
    known = Endorsements(dcap=(collateral,)).to_json()
    borrowed = _Borrowed(lambda key: (TdxQuote(key=key, quote=quote), known))
    _require("vouches for another key", _genuine(host, borrowed, dt.datetime(2025, 7, 4, 10, 16, 30, tzinfo=dt.UTC)))
    _require("expired", _genuine(host, borrowed, _NOW))


def test_a_genuine_report_of_sev_snp_vouches_for_nobody_else(host: _Host) -> None:
    """Signed by a genuine chip."""
    report = (_DATA / "snp" / "milan-v2.report").read_bytes()
    certificates = [(_DATA / "snp" / name).read_bytes() for name in ("milan-v2.vcek.der",)]
    for name in ("ask-milan.pem", "ark-milan.pem"):
        body = (_DATA / "snp" / name).read_text().split("-----")[2]
        certificates.append(base64.b64decode(body))
    known = Endorsements(certificates=tuple(certificates)).to_json()
    borrowed = _Borrowed(lambda key: (SnpQuote(key=key, report=report), known))
    _require("vouches for another key", _genuine(host, borrowed, dt.datetime(2025, 6, 1, tzinfo=dt.UTC)))


def test_every_refusal_is_in_the_audit_log(host: _Host) -> None:
    """With its reasons, and nothing that was refused was attested."""
    before = len(host.cas.audit_log())
    with host.enclave("tdx", "revoked") as app:
        _refused(app.attest)
    (entry,) = host.cas.audit_log()[before:]
    assert entry.event == "service_refused"
    assert any("was revoked" in line for line in entry.facts["reasons"] or ())
    assert "platform" not in entry.facts  # nothing was proven


def test_a_refusal_on_good_evidence_tells_the_machine(host: _Host) -> None:
    """So that whoever operates the machines knows which of them it was."""
    with host.enclave("tdx", "outdated-tcb") as app:
        _refused(app.attest)
    entry = host.cas.audit_log()[-1]
    assert entry.event == "service_refused"
    assert entry.facts["platform"] == "sim (rehearses tdx)"
    assert entry.facts["machine"] == host._claims("tdx").machine_id
    assert (entry.facts["tcb"], entry.facts["weaknesses"]) == ("OutOfDate", ["outdated-tcb"])


def test_the_table_of_the_documentation_is_the_one_that_is_tried() -> None:
    """Every reason in it is one that a test here, or beside it, asks for."""
    page = (_DOCS / "access-control.md").read_text(encoding="utf-8")
    section = page.partition("## What is done to evidence")[2].partition("\n## ")[0]
    rows = [row.split("|")[2] for row in section.splitlines() if row.startswith("| ")][1:]
    reasons = [reason for row in rows for reason in re.findall(r"`([^`]+)`", row)]
    assert len(reasons) > 15
    tried = "".join((Path(__file__).parent / name).read_text() for name in ("test_attacks.py", "test_singletons.py"))
    assert [reason for reason in reasons if reason not in tried] == []
