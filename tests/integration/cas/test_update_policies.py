"""What an enclave may do with a volume or a main protection file under each update policy, over real TLS."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from bannock.cas import EmbeddedCas
from bannock.errors import ConflictError, DeniedError, InputError
from bannock.net.client import Connection, connect
from bannock.policy import MainFspf, UpdatePolicy
from bannock.values import FspfKey, FspfTag
from tests.integration.cas.enclaves import Enclave, enclave
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.net.tls import Identity

_FIRST, _ONE, _TWO, _THREE, _FOUR = (FspfTag(letter * 16) for letter in (b"0", b"1", b"2", b"3", b"4"))
_KEY = FspfKey(b"k" * 32)

#: Services that share one volume, each in its own way; two of them have a main protection file.
_SESSION = """
name: demo
version: "0.3.11"
{predecessor}
services:
  - {{name: writer, image_name: writer, mrenclaves: [{mrenclave}], command: app,
      fspf_path: /main.fspf, fspf_key: {key}, fspf_tag: {first}, environment: {{NOTE: "{note}"}}}}
  - {{name: reader, image_name: reader, mrenclaves: [{mrenclave}], command: app}}
  - {{name: loose, image_name: loose, mrenclaves: [{mrenclave}], command: app,
      fspf_path: /main.fspf, fspf_key: {key}, fspf_update_policy: no_rollback_protection}}
images:
  - {{name: writer, volumes: [{{name: data, path: /data}}]}}
  - {{name: reader, volumes: [{{name: data, path: /data, update_policy: ephemeral}}]}}
  - {{name: loose, volumes: [{{name: data, path: /data, update_policy: no_rollback_protection}}]}}
volumes:
  - {{name: data, {volume}}}
security: {{attestation: {{tolerate: [simulation]}}}}
"""


def _session(
    *, predecessor: str = "", key: str = _KEY.reveal_hex(), first: FspfTag = _FIRST, volume: str = "", note: str = ""
) -> str:
    return _SESSION.format(
        predecessor=f"predecessor: {predecessor}" if predecessor else "",
        mrenclave=MEASUREMENT,
        key=key,
        first=first,
        volume=volume,
        note=note,
    )


def _post(client: Connection, text: str) -> str:
    answer = client.request("POST", "/session", text.encode())
    assert answer.status == 201, answer.body
    return str(json.loads(answer.body)["hash"])


@pytest.fixture
def digest(client: Connection) -> str:
    """The hash of the session that is there."""
    return _post(client, _session())


@pytest.fixture
def start(cas: EmbeddedCas, digest: str) -> Iterator[Callable[[str], Enclave]]:
    """Start an enclave of a service, attested."""
    assert digest
    with ExitStack() as stack:

        def started(service: str) -> Enclave:
            running = stack.enter_context(enclave(cas.enclave_address, cas.key_hash))
            running.attest(service=service)
            return running

        yield started


def _volume(client: Connection) -> str | None:
    tag: str | None = client.request_json("GET", "/v1/volumes/session=demo,volume=data")["tag"]
    return tag


def _given(running: Enclave, service: str) -> tuple[FspfTag | None, UpdatePolicy]:
    (volume,) = running.attest(service=service).volumes
    return volume.tag, volume.update_policy


def _main(running: Enclave, service: str = "writer") -> MainFspf:
    fspf = running.attest(service=service).fspf
    assert fspf is not None
    return fspf


def test_an_ephemeral_volume_is_given_and_not_changed(
    client: Connection, start: Callable[[str], Enclave], cas: EmbeddedCas
) -> None:
    """The service gets key and state, and its commits are refused, with the reason; the state stays."""
    start("writer").commit(None, _ONE, "data")
    reader = start("reader")
    assert _given(reader, "reader") == (_ONE, UpdatePolicy.EPHEMERAL)
    entries = len(cas.cas.audit_log())
    for expected in (None, _ONE, _TWO):
        with pytest.raises(DeniedError, match="volume data has the update_policy ephemeral here"):
            reader.commit(expected, _THREE, "data")
    assert _volume(client) == str(_ONE)
    assert len(cas.cas.audit_log()) == entries


def test_an_ephemeral_volume_follows_its_writer(start: Callable[[str], Enclave]) -> None:
    """Before it is initialised there is no state; later it is the one that was confirmed last."""
    writer, reader = start("writer"), start("reader")
    assert _given(reader, "reader") == (None, UpdatePolicy.EPHEMERAL)
    with pytest.raises(DeniedError, match="update_policy ephemeral"):
        reader.commit(None, _ONE, "data")
    writer.commit(None, _ONE, "data")
    writer.commit(_ONE, _TWO, "data")
    assert _given(reader, "reader") == (_TWO, UpdatePolicy.EPHEMERAL)


def test_a_protected_volume_does_not_go_back(start: Callable[[str], Enclave], client: Connection) -> None:
    """A commit that starts from an older state, or from none again, is refused, by whichever enclave."""
    first = start("writer")
    first.commit(None, _ONE, "data")
    first.commit(_ONE, _TWO, "data")
    for running in (first, start("writer")):
        for older in (None, _ONE):
            with pytest.raises(ConflictError, match=f"volume data is in state {_TWO}"):
                running.commit(older, _THREE, "data")
    assert _volume(client) == str(_TWO)


def test_without_rollback_protection_commits_are_recorded_and_not_compared(
    start: Callable[[str], Enclave], client: Connection, cas: EmbeddedCas
) -> None:
    """A volume that somebody put back goes on from where it is; the audit log shows that it was."""
    loose = start("loose")
    assert _given(loose, "loose") == (None, UpdatePolicy.NO_ROLLBACK_PROTECTION)
    loose.commit(None, _ONE, "data")
    loose.commit(_ONE, _TWO, "data")
    assert "instead-of" not in cas.cas.audit_log()[-1].facts
    loose.commit(_ONE, _THREE, "data")
    facts = cas.cas.audit_log()[-1].facts
    assert (facts["from"], facts["to"], facts["instead-of"]) == (str(_ONE), str(_THREE), str(_TWO))
    loose.commit(None, _FOUR, "data")
    assert _volume(client) == str(_FOUR)
    assert _given(loose, "loose") == (_FOUR, UpdatePolicy.NO_ROLLBACK_PROTECTION)


def test_a_protected_service_goes_on_from_what_an_unprotected_one_recorded(
    start: Callable[[str], Enclave], client: Connection
) -> None:
    """Each service has its own rule, and all of them see one state."""
    writer, loose = start("writer"), start("loose")
    writer.commit(None, _ONE, "data")
    loose.commit(_FIRST, _TWO, "data")
    with pytest.raises(ConflictError, match=f"volume data is in state {_TWO}, expected {_ONE}"):
        writer.commit(_ONE, _THREE, "data")
    assert _given(writer, "writer") == (_TWO, UpdatePolicy.ROLLBACK_PROTECTED)
    writer.commit(_TWO, _THREE, "data")
    assert _volume(client) == str(_THREE)


def test_a_main_protection_file_moves_on(start: Callable[[str], Enclave], cas: EmbeddedCas) -> None:
    """The first state is the session's; later the last one is accepted too, and named first."""
    writer = start("writer")
    assert _main(writer) == MainFspf(path="/main.fspf", key=_KEY, tags=(_FIRST,))
    assert writer.commit_fspf(_FIRST, _ONE) == str(_ONE)
    assert writer.commit_fspf(_ONE, _TWO) == str(_TWO)
    entry = cas.cas.audit_log()[-1]
    assert entry.event == "service_fspf_tag_updated"
    assert entry.facts == {"session": "demo", "service": "writer", "from": str(_ONE), "to": str(_TWO)}
    assert _main(start("writer")).tags == (_TWO, _FIRST)


def test_a_main_protection_file_does_not_go_back(start: Callable[[str], Enclave]) -> None:
    """Neither the enclave that was there nor another one gets on from a state that was left; nor from none."""
    writer = start("writer")
    writer.commit_fspf(_FIRST, _ONE)
    writer.commit_fspf(_ONE, _TWO)
    for running in (writer, start("writer")):
        for older in (None, _ONE, _FOUR):
            with pytest.raises(ConflictError, match=f"main protection file of service writer is in state {_TWO}"):
                running.commit_fspf(older, _THREE)
    assert _main(writer).tags == (_TWO, _FIRST)


def test_a_main_protection_file_starts_again(start: Callable[[str], Enclave], cas: EmbeddedCas) -> None:
    """From the first state there is always a way, and the audit log says what it led away from."""
    start("writer").commit_fspf(_FIRST, _ONE)
    again = start("writer")
    again.commit_fspf(_FIRST, _TWO)
    assert cas.cas.audit_log()[-1].facts["instead-of"] == str(_ONE)
    again.commit_fspf(_TWO, _THREE)
    assert "instead-of" not in cas.cas.audit_log()[-1].facts
    assert _main(start("writer")).tags == (_THREE, _FIRST)


def test_instances_at_the_same_time_have_a_copy_each(start: Callable[[str], Enclave]) -> None:
    """Three of them start from the first state, and each goes on from its own, in any order."""
    instances = [start("writer") for _ in range(3)]
    states = [_FIRST] * 3
    for step, turn in enumerate([0, 1, 2, 2, 0, 1, 0, 2, 1]):
        tag = FspfTag(bytes([step + 1]) * 16)
        instances[turn].commit_fspf(states[turn], tag)
        states[turn] = tag
    assert _main(start("writer")).tags == (states[1], _FIRST)


def test_an_instance_goes_on_after_its_connection_was_lost(start: Callable[[str], Enclave]) -> None:
    """It attests anew and is where it was, although another instance has committed meanwhile."""
    one, other = start("writer"), start("writer")
    one.commit_fspf(_FIRST, _ONE)
    other.commit_fspf(_FIRST, _TWO)
    one.connection.close()
    again = start("writer")
    # It does not know whether its last commit took place, and asks once more.
    assert again.commit_fspf(_FIRST, _ONE) == str(_ONE)
    again.commit_fspf(_ONE, _THREE)
    other.commit_fspf(_TWO, _FOUR)


def test_of_two_forks_of_an_instance_one_goes_on(start: Callable[[str], Enclave]) -> None:
    """Two copies of one state that is not the first are two lines, and there may be one."""
    original = start("writer")
    original.commit_fspf(_FIRST, _ONE)
    fork = start("writer")
    fork.commit_fspf(_ONE, _TWO)
    with pytest.raises(ConflictError, match=f"is in state {_TWO}, expected {_ONE}"):
        original.commit_fspf(_ONE, _THREE)
    fork.commit_fspf(_TWO, _FOUR)


def test_a_commit_of_a_main_protection_file_that_is_sent_twice_is_made_once(
    start: Callable[[str], Enclave], cas: EmbeddedCas
) -> None:
    """The second try answers the same, after another instance's commit too."""
    one, other = start("writer"), start("writer")
    one.commit_fspf(_FIRST, _ONE)
    one.commit_fspf(_FIRST, _ONE)
    other.commit_fspf(_FIRST, _TWO)
    one.commit_fspf(_FIRST, _ONE)
    assert len([entry for entry in cas.cas.audit_log() if entry.event == "service_fspf_tag_updated"]) == 2
    assert _main(one).tags == (_TWO, _FIRST)


def test_an_unprotected_main_protection_file_is_recorded(start: Callable[[str], Enclave], cas: EmbeddedCas) -> None:
    """No state is named, every step is taken, and the audit log has them all."""
    loose = start("loose")
    expected = MainFspf(path="/main.fspf", key=_KEY, tags=(), update_policy=UpdatePolicy.NO_ROLLBACK_PROTECTION)
    assert _main(loose, "loose") == expected
    loose.commit_fspf(_ONE, _TWO)
    loose.commit_fspf(_ONE, _THREE)
    assert _main(loose, "loose") == expected
    facts = cas.cas.audit_log()[-2].facts
    assert (facts["from"], facts["to"], facts["instead-of"]) == (str(_ONE), str(_THREE), str(_TWO))


def test_each_service_has_the_state_of_its_own_file(start: Callable[[str], Enclave]) -> None:
    """Two services that start from one file share no state."""
    start("loose").commit_fspf(_FIRST, _ONE)
    writer = start("writer")
    assert _main(writer).tags == (_FIRST,)
    with pytest.raises(ConflictError):
        writer.commit_fspf(_ONE, _TWO)


def test_a_commit_needs_an_attestation_and_a_main_protection_file(app: Enclave, digest: str) -> None:
    """Others are told what they lack."""
    assert digest
    with pytest.raises(DeniedError, match="this connection has not been attested"):
        app.commit_fspf(_FIRST, _ONE)
    app.attest(service="reader")
    with pytest.raises(DeniedError, match="service reader of session demo has no main protection file"):
        app.commit_fspf(_FIRST, _ONE)


def test_an_update_that_replaces_the_file_ends_the_states_before(
    start: Callable[[str], Enclave], client: Connection, digest: str
) -> None:
    """Who runs with the old file commits no more; who starts gets the new one, and its first state alone."""
    writer = start("writer")
    writer.commit_fspf(_FIRST, _ONE)
    _post(client, _session(predecessor=digest, first=_FOUR))
    for expected in (_FIRST, _ONE, _FOUR):
        with pytest.raises(ConflictError, match="writer was replaced by an update of session demo") as caught:
            writer.commit_fspf(expected, _TWO)
        assert caught.value.hint == "start the service again"
    assert _main(writer).tags == (_FOUR,)
    for expected in (_FIRST, _ONE):
        with pytest.raises(ConflictError, match=f"is in state {_FOUR}, expected {expected}"):
            writer.commit_fspf(expected, _TWO)
    writer.commit_fspf(_FOUR, _TWO)


def test_an_update_that_leaves_the_file_leaves_its_states(
    start: Callable[[str], Enclave], client: Connection, digest: str
) -> None:
    """Instances go on, and those that start later get the state of before."""
    one, other = start("writer"), start("writer")
    one.commit_fspf(_FIRST, _ONE)
    other.commit_fspf(_FIRST, _TWO)
    _post(client, _session(predecessor=digest, note="changed"))
    one.commit_fspf(_ONE, _THREE)
    other.commit_fspf(_TWO, _FOUR)
    assert _main(start("writer")).tags == (_FOUR, _FIRST)


def test_a_volume_that_an_update_replaces_is_out_of_reach_under_every_policy(
    start: Callable[[str], Enclave], client: Connection, digest: str
) -> None:
    """No rule about states lets a commit for the old volume pass for one of the new."""
    running = [start(service) for service in ("writer", "reader", "loose")]
    key = f"fspf_key: {_KEY.reveal_hex()}, fspf_tag: {_FOUR}"
    _post(client, _session(predecessor=digest, volume=key))
    for each in running:
        with pytest.raises(ConflictError, match="volume data was replaced by an update of session demo"):
            each.commit(None, _ONE, "data")
    assert _volume(client) == str(_FOUR)


@contextmanager
def _connected(cas: EmbeddedCas, service: str) -> Iterator[Enclave]:
    with enclave(cas.enclave_address, cas.key_hash) as running:
        running.attest(service=service)
        yield running


def test_all_states_outlive_the_cas(tmp_path: Path, alice: Identity) -> None:
    """After a restart of the CAS every rule holds as before: what was left stays left, every copy goes on."""
    with EmbeddedCas(tmp_path / "cas") as cas:
        with connect(*cas.client_address, alice, expected_peer=cas.key_hash) as client:
            _post(client, _session())
        with _connected(cas, "writer") as one, _connected(cas, "writer") as other, _connected(cas, "loose") as loose:
            one.commit_fspf(_FIRST, _ONE)
            one.commit_fspf(_ONE, _TWO)
            other.commit_fspf(_FIRST, _THREE)
            one.commit(None, _ONE, "data")
            loose.commit(_FOUR, _TWO, "data")
    with (
        EmbeddedCas(tmp_path / "cas") as cas,
        _connected(cas, "writer") as one,
        _connected(cas, "writer") as other,
        _connected(cas, "reader") as reader,
    ):
        assert _main(one).tags == (_THREE, _FIRST)
        with pytest.raises(ConflictError, match=f"is in state {_THREE}, expected {_ONE}"):
            one.commit_fspf(_ONE, _FOUR)
        one.commit_fspf(_TWO, FspfTag(b"5" * 16))
        other.commit_fspf(_THREE, FspfTag(b"6" * 16))
        assert _given(reader, "reader") == (_TWO, UpdatePolicy.EPHEMERAL)
        with pytest.raises(ConflictError, match=f"volume data is in state {_TWO}, expected {_ONE}"):
            one.commit(_ONE, _FOUR, "data")
        one.commit(_TWO, _FOUR, "data")


def test_commits_travel_together(start: Callable[[str], Enclave]) -> None:
    """One request takes the steps of volumes, all or none, and answers with the states that they are in."""
    writer = start("writer")

    def commit(*steps: tuple[FspfTag | None, FspfTag]) -> object:
        payload = [
            {"volume": "data", "expected": None if before is None else str(before), "tag": str(tag)}
            for before, tag in steps
        ]
        return writer.connection.request_json("POST", "/v1/enclave/commits", {"commits": payload})

    assert commit((None, _ONE), (_ONE, _TWO)) == {"tags": {"data": str(_TWO)}}
    with pytest.raises(ConflictError, match=f"volume data is in state {_THREE}, expected {_ONE}"):
        commit((_TWO, _THREE), (_ONE, _FOUR))
    assert commit((_TWO, _FOUR)) == {"tags": {"data": str(_FOUR)}}
    with pytest.raises(InputError):
        commit()
