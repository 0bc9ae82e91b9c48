"""What a start shows besides its evidence: one-time passwords and service access tokens, over real TLS."""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.second_factors import SecondFactors, Shown
from bannock.cas.serving import endpoints
from bannock.errors import BannockError, DeniedError, causes
from bannock.net.address import Address
from bannock.net.server import ThreadedServer
from bannock.policy.access_token import Side, prove_access_token, verify_access_token
from bannock.policy.claims import Claims
from bannock.policy.one_time_password import one_time_password, shared_secret
from bannock.values import KeyHash, Measurement, Secret
from tests.integration.cas.enclaves import Enclave, enclave
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ALICE = KeyHash(b"a" * 32)
_SHARED = "BASE32SECRET3232BASE32SECRET3232"
_SERVICES_OWN = "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U"
_OTHER = Measurement(b"\x33" * 32)
_SESSION = """
name: {name}
version: "0.3.11"
services:
  - {{name: app, command: app, mrenclaves: ["{measurement}"]}}
  - {{name: other, command: app, mrenclaves: ["{measurement}"], one_time_password_shared_secret: {own}}}
{more}
security:
  {security}
  attestation:
    tolerate: [simulation]
    {attestation}
"""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        """Tell the time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Move on."""
        self.now += dt.timedelta(seconds=seconds)


class Running:
    """A CAS that listens, with a clock of ours."""

    def __init__(self, directory: Path) -> None:
        loopback = Address("127.0.0.1", 0)
        self._config = replace(CasConfig.in_directory(directory), api=loopback, enclave=loopback)
        self.clock = Clock()
        self.start()

    def start(self) -> None:
        """Listen."""
        self.cas = Cas(self._config, clock=self.clock)
        self._server = ThreadedServer(*endpoints(self.cas, self._config))
        self._server.start()

    def stop(self) -> None:
        """End every connection."""
        self._server.stop()
        self.cas.close()

    def post(self, name: str = "demo", *, security: str = "", attestation: str = "", more: str = "") -> None:
        """Make a session."""
        text = _SESSION.format(
            name=name,
            measurement=MEASUREMENT,
            own=_SERVICES_OWN,
            security=security,
            attestation=attestation,
            more=more,
        )
        self.cas.sessions.post(text, _ALICE)

    @contextmanager
    def enclave(self, measurement: Measurement = MEASUREMENT) -> Iterator[Enclave]:
        """Open a connection of a fresh enclave."""
        address = Address("127.0.0.1", self._server.ports[1])
        with enclave(address, self.cas.key_hash, measurement) as connected:
            yield connected

    def password(self, secret: str = _SHARED, *, steps: int = 0) -> str:
        """Give the password of now, or of a step that is near."""
        return one_time_password(shared_secret(Secret(secret.encode())), self.clock.now + steps * _STEP)

    def start_with(self, password: str | None, service: str = "app") -> str:
        """Start a service; give what resumes it."""
        shown = {} if password is None else {"one_time_password": password}
        with self.enclave() as fresh:
            fresh.attest(service=service, **shown)
            return fresh.headers.get("bannock-resumption", "")


_STEP = dt.timedelta(seconds=30)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Give a CAS."""
    found = Running(tmp_path / "cas")
    yield found
    found.stop()


def _why(error: BannockError) -> str:
    return " / ".join(
        line
        for cause in causes(error)
        for line in (str(cause), *(cause.reasons if isinstance(cause, BannockError) else ()))
    )


def _refused(running: Running, password: str | None, service: str = "app") -> str:
    with pytest.raises(DeniedError) as caught:
        running.start_with(password, service)
    return _why(caught.value)


def test_a_one_time_password_is_asked_for(running: Running) -> None:
    """Without one, or with a wrong one, nothing is released; each is good once."""
    running.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    assert "none came" in _refused(running, None)
    password = running.password()
    wrong = f"{(int(password) + 1) % 1_000_000:06}"
    assert "one-time password is wrong" in _refused(running, wrong)
    running.start_with(password)
    assert "used already" in _refused(running, password)
    running.clock.wait(30)
    running.start_with(running.password())


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_a_step(running: Running, steps: int, *, good: bool) -> None:
    """By more they may not."""
    running.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    if good:
        running.start_with(running.password(steps=steps))
    else:
        assert "wrong" in _refused(running, running.password(steps=steps))


def test_a_spent_password_stays_spent_over_a_restart(running: Running) -> None:
    """It is written down before the configuration is given."""
    running.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    password = running.password()
    running.start_with(password)
    running.stop()
    running.start()
    assert "used already" in _refused(running, password)


def test_wrong_passwords_are_bounded(running: Running) -> None:
    """After some of them not even the right one is taken; an enclave that is not trusted cannot bring that about."""
    running.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    right = running.password()
    guesses = [f"{(int(right) + number) % 1_000_000:06}" for number in range(1, 4)]
    for guess in guesses * 2:
        with running.enclave(_OTHER) as foreign, pytest.raises(DeniedError):
            foreign.attest(one_time_password=guess)
    for guess in guesses:
        assert "is wrong" in _refused(running, guess)
    assert "too many wrong" in _refused(running, right)
    running.clock.wait(30)
    running.start_with(running.password())


def test_the_services_own_secret_comes_first(running: Running) -> None:
    """A service may have a shared secret of its own, beside or without that of the session."""
    running.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    assert "wrong" in _refused(running, running.password(), "other")
    running.start_with(running.password(_SERVICES_OWN), "other")
    running.start_with(running.password())


def test_the_shared_secret_may_be_another_secret(running: Running) -> None:
    """A binary one in base32, made by the CAS and exported from another session."""
    exporter = "secrets: [{name: otp, kind: binary, size: 20, export: [{session: demo}]}]"
    running.post("otp_policy", more=exporter)
    running.post(
        attestation="one_time_password_shared_secret: $$SCONE::otp:base32nopad$$",
        more="secrets: [{name: otp, kind: binary, import: {session: otp_policy, secret: otp}}]",
    )
    with running.cas.store.reading() as view:
        value = view.secret_values("otp_policy").secrets["otp"].value
    running.start_with(one_time_password(value, running.clock.now))
    assert "used already" in _refused(running, one_time_password(value, running.clock.now))


def test_a_start_is_resumed_without_a_new_password(running: Running) -> None:
    """A service that lost its connection has no password any more; nobody else can say that it was let in."""
    running.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    resumption = running.start_with(running.password())
    assert len(resumption) == 96
    running.stop()
    running.start()
    with running.enclave() as again:
        again.attest(resumption=resumption)
        again.attest(resumption=resumption)
    changed = f"{resumption[:-1]}{'0' if resumption[-1] != '0' else '1'}"
    for service, shown in (("app", changed), ("other", resumption), ("app", "0" * 96)):
        with running.enclave() as other, pytest.raises(DeniedError) as caught:
            other.attest(service=service, resumption=shown)
        assert "not let in before" in _why(caught.value)


def test_a_resumption_ends_with_its_shared_secret(running: Running) -> None:
    """Whoever changes the secret ends what was started with it."""
    running.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    resumption = running.start_with(running.password())
    predecessor = running.cas.sessions.read("demo", _ALICE).digest
    running.post(attestation=f"one_time_password_shared_secret: {_SERVICES_OWN}", more=f"predecessor: {predecessor}")
    with running.enclave() as again, pytest.raises(DeniedError):
        again.attest(resumption=resumption)


def test_an_access_token_is_proven_both_ways(running: Running) -> None:
    """The proofs are of this connection and of one side; the token itself never travels."""
    running.post(security="service_access_token: j765WyMWTKksiqWbBuuc")
    token = Secret(b"j765WyMWTKksiqWbBuuc")
    with running.enclave() as app:
        exporter = app.connection.exporter()
        app.attest(access_proof=prove_access_token(token, Side.SERVICE, exporter).hex())
        back = bytes.fromhex(app.headers["bannock-access-proof"])
        verify_access_token(token, Side.CAS, exporter, back)
        for proof in (
            prove_access_token(Secret(b"other"), Side.SERVICE, exporter),
            prove_access_token(token, Side.SERVICE, b"\0" * 32),
            back,
        ):
            with pytest.raises(DeniedError) as caught:
                app.attest(access_proof=proof.hex())
            assert "access token is wrong" in _why(caught.value)
        with pytest.raises(DeniedError) as caught:
            app.attest()
        assert "access token is missing" in _why(caught.value)


def test_refused_factors_are_in_the_audit_log_without_what_was_shown(running: Running) -> None:
    """The reason is there; passwords, proofs and secrets are not."""
    running.post(security="service_access_token: canary-token")
    with running.enclave() as app, pytest.raises(DeniedError):
        app.attest(access_proof="ab" * 32)
    entry = running.cas.audit_log()[-1]
    assert entry.event == "service_refused"
    text = json.dumps(dict(entry.facts))
    assert "access token is wrong" in text
    assert "canary" not in text
    assert "ab" * 32 not in text


def test_a_password_is_good_once_in_all_processes(config: CasConfig) -> None:
    """Two CASes on one database get it at the same moment, many times; one start is let in."""
    clock = Clock()
    secret = shared_secret(Secret(_SHARED.encode()))
    shown = Shown(one_time_password=one_time_password(secret, clock.now))
    signer = Measurement(bytes(32))
    claims = Claims(platform="sim", measurement=MEASUREMENT, signer=signer, product_id=0, svn=0, debug=False)

    def spend(cas: Cas) -> bool:
        factors = SecondFactors(Secret(b"k" * 32), random=os.urandom, clock=clock)
        gate.wait()
        try:
            with cas.store.changing() as change:
                factors.spend(change, secret, shown, "service app of session demo", claims)
        except DeniedError:
            return False
        return True

    with Cas(config, clock=clock) as one, Cas(config, clock=clock) as other, ThreadPoolExecutor(8) as pool:
        gate = threading.Barrier(8)
        assert sorted(pool.map(spend, [one, other] * 4)) == [False] * 7 + [True]
