"""Singleton enclaves: one configuration for one start, which goes on after a lost connection and is never copied."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from bannock.cas import EmbeddedCas
from bannock.errors import BannockError, DeniedError, causes
from bannock.net.client import connect
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import MEASUREMENT, document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.net.client import Connection
    from bannock.net.tls import Identity
    from tests.integration.cas.enclaves import Enclave

_FIRST, _SECOND = b"\x01" * 32, b"\x02" * 32
_RESUMPTION: Final = "bannock-resumption"
_USED: Final = "Unexpected enclave (singleton, false: this start of it had a configuration before) - Expected true"


def _post(client: Connection, text: str) -> None:
    answer = client.request("POST", "/session", text.encode())
    assert answer.status == 201, answer.body


def _singleton(name: str = "demo", more: str = "") -> str:
    return document(name).replace("security:\n", f"security:\n  singleton_enclaves: true\n{more}")


@contextmanager
def _start(cas: EmbeddedCas, instance: bytes | None) -> Iterator[Enclave]:
    with enclave(cas.enclave_address, cas.key_hash, MEASUREMENT, instance) as connected:
        yield connected


def _given(cas: EmbeddedCas, instance: bytes, session: str = "demo", **shown: str) -> str:
    """Attest on a connection of its own, and give what the start is known by from then on."""
    with _start(cas, instance) as started:
        started.attest(session=session, **shown)
        return started.headers.get(_RESUMPTION, "")


def _refused(cas: EmbeddedCas, instance: bytes, session: str = "demo", **shown: str) -> list[str]:
    with _start(cas, instance) as started, pytest.raises(DeniedError) as caught:
        started.attest(session=session, **shown)
    return [
        line
        for cause in causes(caught.value)
        for line in (str(cause), *(cause.reasons if isinstance(cause, BannockError) else ()))
    ]


def test_a_start_gets_one_configuration(cas: EmbeddedCas, client: Connection) -> None:
    """A second one is refused, on whichever connection; another start is another enclave."""
    _post(client, _singleton())
    assert _given(cas, _FIRST)
    assert any(_USED in line for line in _refused(cas, _FIRST))
    assert _given(cas, _SECOND)


def test_a_start_is_used_by_any_session(cas: EmbeddedCas, client: Connection) -> None:
    """An attacker's own session, which asks for nothing, is how an enclave would be exploited first."""
    _post(client, document("evil"))
    _post(client, _singleton())
    assert _given(cas, _FIRST, session="evil") == ""
    assert any(_USED in line for line in _refused(cas, _FIRST))
    # What asks for nothing is given again and again.
    _given(cas, _FIRST, session="evil")


def test_a_lost_connection_is_made_anew(cas: EmbeddedCas, client: Connection) -> None:
    """By what the start was given, which is another one each time."""
    _post(client, _singleton())
    shown = _given(cas, _FIRST)
    seen = {shown}
    for _ in range(3):
        shown = _given(cas, _FIRST, resumption=shown)
        seen.add(shown)
    assert len(seen) == 4


def test_an_answer_that_was_lost_is_asked_for_again(cas: EmbeddedCas, client: Connection) -> None:
    """The one before is good as long as the new one was not used, and the lost one dies."""
    _post(client, _singleton())
    first = _given(cas, _FIRST)
    lost = _given(cas, _FIRST, resumption=first)
    second = _given(cas, _FIRST, resumption=first)
    assert any(_USED in line for line in _refused(cas, _FIRST, resumption=lost))
    third = _given(cas, _FIRST, resumption=second)
    assert any(_USED in line for line in _refused(cas, _FIRST, resumption=first))
    _given(cas, _FIRST, resumption=third)


def test_of_two_copies_of_a_start_one_goes_on(cas: EmbeddedCas, client: Connection) -> None:
    """A machine that is cloned has its enclaves twice, with all that they were given."""
    _post(client, _singleton())
    both = _given(cas, _FIRST)
    one = _given(cas, _FIRST, resumption=both)
    two = _given(cas, _FIRST, resumption=both)
    assert any(_USED in line for line in _refused(cas, _FIRST, resumption=one))
    assert _given(cas, _FIRST, resumption=two)


def test_what_one_start_was_given_is_good_for_no_other(cas: EmbeddedCas, client: Connection) -> None:
    """Neither for another start, nor for another service of the same start, nor is anything made up good."""
    _post(client, _singleton())
    _post(client, _singleton("other"))
    first, second = _given(cas, _FIRST), _given(cas, _SECOND)
    for instance, session, shown in (
        (_FIRST, "demo", second),
        (_FIRST, "other", first),
        (_FIRST, "demo", "00" * 48),
    ):
        assert any(_USED in line for line in _refused(cas, instance, session, resumption=shown))
    assert _given(cas, _FIRST, resumption=first)


def test_another_service_ends_the_first_one(cas: EmbeddedCas, client: Connection) -> None:
    """A start that became something else does not go on as what it was."""
    _post(client, _singleton())
    _post(client, document("evil"))
    shown = _given(cas, _FIRST)
    _given(cas, _FIRST, session="evil")
    assert any(_USED in line for line in _refused(cas, _FIRST, resumption=shown))


def test_a_refused_start_is_not_used(cas: EmbeddedCas, client: Connection) -> None:
    """It had no configuration."""
    _post(client, _singleton())
    _post(client, document("strict", tolerate=""))
    assert _refused(cas, _FIRST, session="strict")
    assert _given(cas, _FIRST)


def test_a_restarted_cas_knows_whom_it_gave_what(tmp_path: Path, alice: Identity) -> None:
    """It is in the database."""
    with EmbeddedCas(tmp_path / "cas") as cas:
        with connect(*cas.client_address, alice, expected_peer=cas.key_hash) as client:
            _post(client, _singleton())
        shown = _given(cas, _FIRST)
    with EmbeddedCas(tmp_path / "cas") as cas:
        assert any(_USED in line for line in _refused(cas, _FIRST))
        assert _given(cas, _FIRST, resumption=shown)


def test_a_start_that_was_not_asked_for_it_has_to_start_again(cas: EmbeddedCas, client: Connection) -> None:
    """Once its session asks for singletons, nothing tells it from a copy."""
    _post(client, document())
    assert _given(cas, _FIRST) == ""
    digest = client.request_json("GET", "/v1/sessions/demo")["hash"]
    _post(client, document(predecessor=digest).replace("security:\n", "security:\n  singleton_enclaves: true\n"))
    assert any(_USED in line for line in _refused(cas, _FIRST))
    assert _given(cas, _SECOND)


def test_what_names_no_starts_is_no_singleton_unless_it_is_simulated(cas: EmbeddedCas, client: Connection) -> None:
    """A simulation makes up the rest, too; it has to be tolerated for that."""
    _post(client, _singleton())
    with _start(cas, None) as started:
        assert started.attest().argv
        assert started.headers.get(_RESUMPTION)
