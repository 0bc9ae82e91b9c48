"""Signed and encrypted sessions over real TLS: who is behind a document, and who is not."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.policy.signing import encrypt, load_encryption_key, sign, signer_hash
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection

_OWNER: Final = Ed25519PrivateKey.from_private_bytes(b"owner" + bytes(27))
_OTHER: Final = ec.derive_private_key(0xC0FFEE, ec.SECP384R1())


def _post(connection: Connection, text: str) -> tuple[int, Any]:
    answer = connection.request("POST", "/v1/sessions", text.encode())
    return answer.status, json.loads(answer.body)


@pytest.fixture
def anybody(cas: EmbeddedCas) -> Iterator[Connection]:
    """A connection without a certificate."""
    with contextlib.closing(connect(*cas.client_address, None, expected_peer=cas.key_hash)) as connection:
        yield connection


def test_a_signed_session_is_its_signers_whoever_carries_it(
    cas: EmbeddedCas, client: Connection, anybody: Connection
) -> None:
    """The courier may have no certificate, or be another client: it is not the creator."""
    status, answer = _post(anybody, sign(document(), _OWNER))
    assert status == 201
    assert client.request("GET", "/v1/sessions/demo").status == 403
    status, _ = _post(client, document(predecessor=answer["hash"]))
    assert status == 403
    status, answer = _post(client, sign(document(predecessor=answer["hash"]), _OWNER))
    assert status == 201
    with cas.cas.store.reading() as view:
        stored = view.session("demo")
    assert stored is not None
    assert stored.creator == signer_hash(_OWNER.public_key())
    assert stored.generation == 2


def test_another_signer_does_not_change_it(anybody: Connection, client: Connection) -> None:
    """Not by its own signature, and not as a client either."""
    _, answer = _post(anybody, sign(document(), _OWNER))
    status, problem = _post(client, sign(document(predecessor=answer["hash"]), _OTHER))
    assert status == 403
    assert problem["msg"][0] == f"signer {signer_hash(_OTHER.public_key())} may not update session demo"


def test_a_client_cannot_be_signed_away(client: Connection) -> None:
    """A session of a client is not changed by what somebody else has signed."""
    _, answer = _post(client, document())
    assert _post(client, sign(document(predecessor=answer["hash"]), _OWNER))[0] == 403


def test_the_audit_log_has_the_signers_and_refusals_with_their_reasons(cas: EmbeddedCas, anybody: Connection) -> None:
    """The operator learns what the other side does not."""
    _, answer = _post(anybody, sign(sign(document(), _OWNER), _OTHER))
    _post(anybody, sign(document(predecessor=answer["hash"], variable="two"), _OTHER))
    made, refused = (entry for entry in cas.cas.audit_log() if entry.event.startswith("session_"))
    owner, other = (str(signer_hash(key.public_key())) for key in (_OWNER, _OTHER))
    assert made.event == "session_created"
    assert made.facts["signers"] == sorted([owner, other])
    assert "client" not in made.facts
    assert refused.event == "session_refused"
    assert refused.facts["signers"] == [other]
    assert f"Expected the creator, {owner}" in str(refused.facts["reasons"])


@pytest.mark.parametrize("damage", ["payload", "signature"])
def test_a_damaged_signature_is_refused(anybody: Connection, damage: str) -> None:
    """Whatever was changed on the way."""
    signed = json.loads(sign(document(), _OWNER))
    other = json.loads(sign(document("other"), _OWNER))
    if damage == "payload":
        signed["payload"] = other["payload"]
    else:
        signed["signatures"][0]["signature"] = other["signatures"][0]["signature"]
    status, problem = _post(anybody, json.dumps(signed))
    assert status == 403
    assert "does not hold for this session" in problem["msg"][0]


def _encryption_key(client: Connection) -> ec.EllipticCurvePublicKey:
    found = json.loads(client.request("GET", "/v1/attest").body)
    return load_encryption_key(_search(found, "session_encryption_key").encode())


def _search(found: Any, name: str) -> str:
    """Find a member wherever the statement of the CAS has it."""
    if isinstance(found, dict):
        if isinstance(found.get(name), str):
            return str(found[name])
        return next((hit for value in found.values() if (hit := _search(value, name))), "")
    return ""


def test_an_encrypted_session_is_taken(anybody: Connection) -> None:
    """Its courier does not learn what is in it."""
    encrypted = encrypt(sign(document(), _OWNER), _encryption_key(anybody))
    assert "greeting" not in encrypted
    assert _post(anybody, encrypted)[0] == 201


def test_an_encrypted_session_without_a_signature_is_refused(client: Connection) -> None:
    """Whoever copies it could post it as their own, and read it then."""
    status, problem = _post(client, encrypt(document(), _encryption_key(client)))
    assert status == 400
    assert problem["msg"][0] == "an encrypted session has to be signed"


def test_a_session_for_another_cas_is_refused(client: Connection) -> None:
    """And the answer says so."""
    status, problem = _post(
        client, encrypt(sign(document(), _OWNER), ec.generate_private_key(ec.SECP256R1()).public_key())
    )
    assert status == 403
    assert "encrypted for another CAS" in problem["msg"][0]


def test_namespaces_are_their_owners(cas: EmbeddedCas, client: Connection, anybody: Connection) -> None:
    """Whoever may create sessions in a namespace; by default whoever may update it. A nested one is its creator's."""
    bob = Identity.generate("bob")
    access = f"access_policy: {{create_sessions: [{bob.key_hash}]}}"
    assert _post(client, document("space", access=access))[0] == 201
    assert _post(client, document("space/inner"))[0] == 403
    assert _post(anybody, sign(document("space/inner"), _OWNER))[0] == 403
    with connect(*cas.client_address, bob, expected_peer=cas.key_hash) as connection:
        assert _post(connection, document("space/inner"))[0] == 201
        assert _post(connection, document("space/inner/more"))[0] == 201
        assert _post(connection, document("nowhere/inner"))[0] == 404
    assert client.request("GET", "/v1/sessions/space/inner").status == 403
    assert _post(client, document("space/inner/other"))[0] == 403


def test_a_refusal_tells_who_may_read_why_and_others_nothing(cas: EmbeddedCas, client: Connection) -> None:
    """The policy is no secret to whoever can read it, and to nobody else."""
    bob, carol = Identity.generate("bob"), Identity.generate("carol")
    access = f"access_policy: {{read: [CREATOR, {bob.key_hash}]}}"
    _, answer = _post(client, document(access=access))
    change = document(predecessor=answer["hash"])
    told = {}
    for identity in (bob, carol):
        with connect(*cas.client_address, identity, expected_peer=cas.key_hash) as connection:
            told[identity] = "\n".join(_post(connection, change)[1]["msg"])
    assert "Expected the creator" in told[bob]
    assert "Expected" not in told[carol]
