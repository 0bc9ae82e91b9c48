"""Sessions: who may make, change and read them, and what a change keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bannock.cas.records import FspfState
from bannock.errors import ConflictError, DeniedError, InputError, NotFoundError, PolicySyntaxError
from bannock.policy import parse_session, session_hash
from bannock.values import FspfTag
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.cas import Cas
    from bannock.policy.secret_values import SecretValues
    from bannock.values import KeyHash

_TAG = FspfTag(b"t" * 16)
_EXPLICIT = "fspf_key: {key}\n    fspf_tag: {tag}"
_MAIN = "fspf_path: {path}\n    fspf_key: {key}\n    fspf_tag: {tag}"
_FIRST = FspfTag.from_hex("bb" * 16)


def _values(cas: Cas, name: str = "demo") -> SecretValues:
    with cas.store.reading() as view:
        return view.secret_values(name)


def _volume(cas: Cas) -> FspfState | None:
    with cas.store.reading() as view:
        return view.volume("demo", "output")


def _commit(cas: Cas, tag: FspfTag = _TAG) -> None:
    with cas.store.changing() as change:
        state = change.volume("demo", "output")
        assert state is not None
        change.put_volume("demo", "output", FspfState(tag=tag, since=state.since))


def test_a_session_is_made_and_read(cas: Cas, alice: KeyHash) -> None:
    """The answer is the hash of the document, and the document comes back as it was sent."""
    text = document()
    assert cas.sessions.post(text, alice) == session_hash(parse_session(text))
    stored = cas.sessions.read("demo", alice)
    assert (stored.text, stored.digest, stored.creator) == (text, session_hash(parse_session(text)), alice)


def test_a_document_that_is_wrong_is_told_with_every_issue(cas: Cas, alice: KeyHash) -> None:
    """The errors of the language reach the client."""
    with pytest.raises(PolicySyntaxError) as caught:
        cas.sessions.post("name: x\nversion: '0.3'\nacess_policy: {}\nvarsion: 1\n", alice)
    assert len(caught.value.issues) == 2


def test_a_second_create_is_a_conflict(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """A session that exists is not made again, by nobody."""
    cas.sessions.post(document(), alice)
    for client in (alice, bob):
        with pytest.raises(ConflictError, match="Session already exists"):
            cas.sessions.post(document(), client)


def test_a_client_without_a_certificate_makes_and_reads_nothing(cas: Cas, alice: KeyHash) -> None:
    """Nobody is not a client, even where the policy says ANY."""
    with pytest.raises(DeniedError, match="a client certificate is needed"):
        cas.sessions.post(document(), None)
    cas.sessions.post(document(access="access_policy: {read: [ANY]}"), alice)
    with pytest.raises(DeniedError, match="a client certificate is needed"):
        cas.sessions.read("demo", None)


def test_one_client_does_not_reach_the_session_of_another(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """Without a policy that lets them, others neither read nor change."""
    digest = cas.sessions.post(document(), alice)
    with pytest.raises(DeniedError, match="may not read session demo"):
        cas.sessions.read("demo", bob)
    with pytest.raises(DeniedError, match="may not read session demo"):
        cas.reading.volume_tag("demo", "output", bob)
    with pytest.raises(DeniedError, match="may not update session demo"):
        cas.sessions.post(document(predecessor=digest, access="access_policy: {read: [ANY]}"), bob)
    assert cas.sessions.read("demo", alice).digest == digest


def test_the_policy_lets_others_in(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """A client whose key hash is listed reads and changes, and the creator stays who it was."""
    access = f"access_policy: {{read: [CREATOR, {bob}], update: [CREATOR, {bob}]}}"
    digest = cas.sessions.post(document(access=access), alice)
    assert cas.sessions.read("demo", bob).digest == digest
    cas.sessions.post(document(predecessor=digest), bob)
    assert cas.sessions.read("demo", alice).creator == alice
    with pytest.raises(DeniedError):
        cas.sessions.read("demo", bob)


def test_an_unknown_session_is_not_found(cas: Cas, alice: KeyHash) -> None:
    """Reading, and naming as predecessor, what is not there."""
    with pytest.raises(NotFoundError, match="Session not found: nope"):
        cas.sessions.read("nope", alice)
    with pytest.raises(NotFoundError, match="Session not found: demo"):
        cas.sessions.post(document(predecessor="00" * 32), alice)


def test_an_update_has_to_follow_the_newest_version(cas: Cas, alice: KeyHash) -> None:
    """Of two changes to one version the second is a conflict: no update is lost."""
    first = cas.sessions.post(document(), alice)
    cas.sessions.post(document(predecessor=first, variable="two"), alice)
    with pytest.raises(ConflictError, match=f"the predecessor named is {first}"):
        cas.sessions.post(document(predecessor=first, variable="three"), alice)


def test_an_update_that_is_sent_twice_is_made_once(cas: Cas, alice: KeyHash) -> None:
    """A client that did not get the answer may ask again."""
    first = cas.sessions.post(document(), alice)
    text = document(predecessor=first, variable="two")
    assert cas.sessions.post(text, alice) == cas.sessions.post(text, alice)
    assert cas.sessions.read("demo", alice).generation == 2
    assert [entry.event for entry in cas.audit_log()][2:-1] == ["session_created", "session_updated"]


def test_of_concurrent_updates_one_wins(cas: Cas, alice: KeyHash) -> None:
    """Eight writers of one version: one is told so, seven are told of a conflict."""
    first = cas.sessions.post(document(), alice)

    def update(number: int) -> bool:
        try:
            cas.sessions.post(document(predecessor=first, variable=str(number)), alice)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(update, range(8))) == 1
    assert cas.sessions.read("demo", alice).generation == 2


def test_older_versions_are_found_by_their_hash(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """The history is there for whoever may read the newest version."""
    text = document(access="access_policy: {read: [ANY]}")
    first = cas.sessions.post(text, alice)
    cas.sessions.post(document(predecessor=first), alice)
    assert cas.sessions.read("demo", alice, digest=first).text == text
    with pytest.raises(DeniedError):
        cas.sessions.read("demo", bob, digest=first)
    with pytest.raises(NotFoundError, match="has no version"):
        cas.sessions.read("demo", alice, digest="00" * 32)
    with pytest.raises(InputError, match="a session hash is 64"):
        cas.sessions.read("demo", alice, digest="x")


def test_a_namespace_belongs_to_its_session(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """Only who may make sessions in it makes one there, and only where it is."""
    with pytest.raises(NotFoundError, match="Session not found: space"):
        cas.sessions.post(document("space/one"), alice)
    cas.sessions.post(document("space"), alice)
    cas.sessions.post(document("space/one"), alice)
    with pytest.raises(DeniedError, match="may not create_sessions session space"):
        cas.sessions.post(document("space/two"), bob)
    assert cas.sessions.read("space/one", alice).name == "space/one"


def test_generated_values_outlive_updates(cas: Cas, alice: KeyHash) -> None:
    """A generated secret and a generated volume key stay; one of another size is made anew."""
    first = cas.sessions.post(document(), alice)
    before = _values(cas)
    second = cas.sessions.post(document(predecessor=first, variable="two"), alice)
    assert _values(cas) == before
    cas.sessions.post(document(predecessor=second, made="size: 21"), alice)
    assert _values(cas).secrets["password"] != before.secrets["password"]
    assert _values(cas).volume_keys == before.volume_keys


def test_the_state_of_a_volume_outlives_updates(cas: Cas, alice: KeyHash) -> None:
    """An update that leaves the volume as it is leaves its state too."""
    first = cas.sessions.post(document(), alice)
    _commit(cas)
    cas.sessions.post(document(predecessor=first, variable="two"), alice)
    assert _volume(cas) == FspfState(tag=_TAG, since=1)


def test_a_volume_that_is_replaced_starts_anew(cas: Cas, alice: KeyHash) -> None:
    """Another key or first state makes it another volume; so does its key's being another secret value."""
    first = cas.sessions.post(document(volume=_EXPLICIT.format(key="aa" * 32, tag="bb" * 16)), alice)
    assert _volume(cas) == FspfState(tag=FspfTag.from_hex("bb" * 16), since=1)
    _commit(cas)
    text = document(predecessor=first, volume=_EXPLICIT.format(key="aa" * 32, tag="cc" * 16))
    cas.sessions.post(text, alice)
    assert _volume(cas) == FspfState(tag=FspfTag.from_hex("cc" * 16), since=2)


def _main(path: str = "/main.fspf", key: str = "aa" * 32, tag: str = str(_FIRST)) -> str:
    return _MAIN.format(path=path, key=key, tag=tag)


def _fspf(cas: Cas) -> FspfState | None:
    with cas.store.reading() as view:
        return view.fspf("demo", "app")


def _advance(cas: Cas) -> FspfState:
    state = FspfState(tag=_TAG, since=1, others=(FspfTag(b"o" * 16),))
    with cas.store.changing() as change:
        change.put_fspf("demo", "app", state)
    return state


def test_a_main_protection_file_starts_in_the_state_that_the_session_names(cas: Cas, alice: KeyHash) -> None:
    """A service without one has no state."""
    first = cas.sessions.post(document(), alice)
    assert _fspf(cas) is None
    cas.sessions.post(document(predecessor=first, fspf=_main()), alice)
    assert _fspf(cas) == FspfState(tag=_FIRST, since=2)


@pytest.mark.parametrize(
    "after",
    [
        _main(),
        _main(path="/elsewhere"),
        _main() + "\n    fspf_update_policy: no_rollback_protection",
        _main(key="AA" * 32),
    ],
    ids=["as before", "moved", "other policy", "other spelling"],
)
def test_the_state_of_a_main_protection_file_outlives_updates(cas: Cas, alice: KeyHash, after: str) -> None:
    """As long as key and first state are the same, it is the same; the states of all its copies stay."""
    first = cas.sessions.post(document(fspf=_main()), alice)
    state = _advance(cas)
    cas.sessions.post(document(predecessor=first, fspf=after, variable="two"), alice)
    assert _fspf(cas) == state


@pytest.mark.parametrize(
    ("after", "tag"),
    [
        (_main(key="cc" * 32), _FIRST),
        (_main(tag="cc" * 16), FspfTag.from_hex("cc" * 16)),
        (_main(key="$$SCONE::key$$"), _FIRST),
    ],
    ids=["other key", "other first state", "key from a secret"],
)
def test_a_main_protection_file_that_is_replaced_starts_anew(
    cas: Cas, alice: KeyHash, after: str, tag: FspfTag
) -> None:
    """Another key or first state makes it another one, whose states the old ones are not."""
    first = cas.sessions.post(document(fspf=_main()), alice)
    _advance(cas)
    secret = f"key, kind: binary, value: {'aa' * 32}"
    cas.sessions.post(document(predecessor=first, fspf=after, made=f"size: 20}}\n  - {{name: {secret}"), alice)
    assert _fspf(cas) == FspfState(tag=tag, since=2)


def test_another_secret_value_is_another_key(cas: Cas, alice: KeyHash) -> None:
    """The words of the session are the same, and the file is not."""
    text, main = "size: 20}}\n  - {{name: key, kind: binary, value: {value}", _main(key="$$SCONE::key$$")
    first = cas.sessions.post(document(fspf=main, made=text.format(value="aa" * 32)), alice)
    _advance(cas)
    second = cas.sessions.post(document(predecessor=first, fspf=main, made=text.format(value="aA" * 32)), alice)
    assert _fspf(cas) == FspfState(tag=_TAG, since=1, others=(FspfTag(b"o" * 16),))
    cas.sessions.post(document(predecessor=second, fspf=main, made=text.format(value="bb" * 32)), alice)
    assert _fspf(cas) == FspfState(tag=_FIRST, since=3)


def test_a_main_protection_file_that_was_gone_comes_back_as_a_new_one(cas: Cas, alice: KeyHash) -> None:
    """What a version of the session did not have leaves nothing behind."""
    first = cas.sessions.post(document(fspf=_main()), alice)
    _advance(cas)
    second = cas.sessions.post(document(predecessor=first), alice)
    assert _fspf(cas) is None
    cas.sessions.post(document(predecessor=second, fspf=_main()), alice)
    assert _fspf(cas) == FspfState(tag=_FIRST, since=3)


def test_public_values_are_everybodys_and_others_nobodys(cas: Cas, alice: KeyHash) -> None:
    """Only what is exported to the public can be read, and whether there is more is not told."""
    cas.sessions.post(document(), alice)
    assert cas.reading.values("demo") == {"greeting": "hello-everybody"}
    assert cas.reading.value("demo", "greeting") == "hello-everybody"
    messages = set()
    for secret in ("password", "nope"):
        with pytest.raises(NotFoundError) as caught:
            cas.reading.value("demo", secret)
        messages.add(caught.value.message.replace(secret, "…"))
    assert len(messages) == 1


def test_the_state_of_a_volume_is_for_readers(cas: Cas, alice: KeyHash) -> None:
    """Before it is initialised it is None; a volume that is not there is not found."""
    cas.sessions.post(document(), alice)
    assert cas.reading.volume_tag("demo", "output", alice) is None
    _commit(cas)
    assert cas.reading.volume_tag("demo", "output", alice) == _TAG
    with pytest.raises(NotFoundError, match="has no volume 'nope'"):
        cas.reading.volume_tag("demo", "nope", alice)


def test_stored_sessions_do_not_show_their_text(cas: Cas, alice: KeyHash) -> None:
    """The document may hold secrets, so no representation has it."""
    cas.sessions.post(document(variable="canary"), alice)
    assert "canary" not in repr(cas.sessions.read("demo", alice))


def test_reading_a_session_is_told(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """The audit log says who has read which version; who was refused has read nothing."""
    digest = cas.sessions.post(document(), alice)
    cas.sessions.read("demo", alice)
    with pytest.raises(DeniedError):
        cas.sessions.read("demo", bob)
    reads = [entry.facts for entry in cas.audit_log() if entry.event == "session_read"]
    assert reads == [{"session": "demo", "hash": digest, "client": str(alice)}]
