"""Access policies as documents have them: boards of signers, secrets that name clients, policies in other sessions."""

from __future__ import annotations

import hashlib
import json
import textwrap
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.policy.signing import sign
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection
    from bannock.policy.signing import SigningKey

_KEYS: Final[dict[str, SigningKey]] = {
    name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in ("voter1", "voter2", "veto1")
}
_KEYS["voter3"] = ec.derive_private_key(3, ec.SECP384R1())
_KEYS["veto2"] = ec.derive_private_key(2, ec.SECP384R1())


def _signer(name: str) -> str:
    pem = _KEYS[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return "signer: " + json.dumps(pem)


#: The example of the reference's chapter on governance.
_BOARD: Final = f"""
access_policy:
  read: NONE
  update:
    require-all:
      - require-at-least-2:
          - {_signer("voter1")}
          - {_signer("voter2")}
          - {_signer("voter3")}
      - require-all:
          - {_signer("veto1")}
          - {_signer("veto2")}
"""


def _post(connection: Connection, text: str, *signers: str) -> tuple[int, Any]:
    for name in signers:
        text = sign(text, _KEYS[name])
    answer = connection.request("POST", "/v1/sessions", text.encode())
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize(
    ("signers", "status"),
    [
        (["voter1", "voter2", "veto1", "veto2"], 201),
        (["veto2", "voter3", "veto1", "voter1"], 201),
        (["voter1", "voter2", "voter3", "veto1", "veto2"], 201),
        (["voter1", "voter2", "voter3", "veto1"], 403),
        (["voter1", "veto1", "veto2"], 403),
        (["veto1"], 403),
        ([], 403),
    ],
)
def test_a_board_governs_a_session(client: Connection, signers: list[str], status: int) -> None:
    """Two of three voters, and both who have a veto; a client with a certificate is none of them."""
    made, answer = _post(client, document(access=_BOARD))
    assert made == 201
    assert _post(client, document(predecessor=answer["hash"], access=_BOARD), *signers)[0] == status
    assert client.request("GET", "/v1/sessions/demo").status == 403


def test_a_board_decides_who_creates_sessions_in_its_namespace(client: Connection) -> None:
    """``create_sessions`` takes rules of governance, too."""
    access = f"access_policy: {{create_sessions: {{require-all: [{{{_signer('voter1')}}}, {{{_signer('veto2')}}}]}}}}"
    assert _post(client, document("space", access=access))[0] == 201
    assert _post(client, document("space/one"))[0] == 403
    assert _post(client, document("space/one"), "voter1")[0] == 403
    assert _post(client, document("space/one"), "voter1", "veto2")[0] == 201


@pytest.fixture
def reads(cas: EmbeddedCas) -> Callable[[Identity], bool]:
    """Whether somebody may read the session demo."""

    def ask(identity: Identity) -> bool:
        with connect(*cas.client_address, identity, expected_peer=cas.key_hash) as connection:
            status = connection.request("GET", "/v1/sessions/demo").status
        assert status in (200, 403)
        return status == 200

    return ask


def _with_secrets(secrets: str, access: str) -> str:
    text = document(access=access)
    return text.replace("secrets:\n", "secrets:\n" + textwrap.indent(textwrap.dedent(secrets).strip(), "  ") + "\n")


def test_a_secret_names_a_client(client: Connection, alice: Identity, reads: Callable[[Identity], bool]) -> None:
    """An ascii secret with a key hash; one that was made by CAS names nobody, and hinders nobody."""
    bob = Identity.generate("bob")
    secrets = f"""
        - {{name: who, kind: ascii, value: {bob.key_hash}}}
        - {{name: made, kind: ascii}}
        - {{name: everybody, kind: ascii, value: ANY}}
    """
    rules = '["$$SCONE::made$$", "$$SCONE::everybody$$", "$$SCONE::who$$"]'
    assert _post(client, _with_secrets(secrets, f"access_policy: {{read: {rules}}}"))[0] == 201
    assert reads(bob)
    assert not reads(alice)
    assert not reads(Identity.generate("carol"))


def test_a_certificate_in_a_secret_names_a_client(client: Connection, reads: Callable[[Identity], bool]) -> None:
    """Explicit x509 secrets, without a format."""
    bob = Identity.generate("bob")
    pem = json.dumps(bob.certificate.public_bytes(Encoding.PEM).decode())
    secrets = f"- {{name: who, kind: x509, value: {pem}}}"
    assert _post(client, _with_secrets(secrets, 'access_policy: {read: ["$$SCONE::who$$"]}'))[0] == 201
    assert reads(bob)
    assert not reads(Identity.generate("carol"))


_POLICY: Final = """
name: board
version: "0.3.10"
secrets:
  - name: policy
    kind: config-fragment
    value: {fragment}
    export: [{{session: demo}}]
access_policy: {{update: CREATOR}}
{predecessor}
"""


@pytest.mark.parametrize(
    ("fragment", "access"),
    [
        ("{{read: [{bob}]}}", "access_policy: $$SCONE::policy$$"),
        ("[{bob}]", "access_policy: {read: $$SCONE::policy$$}"),
        ("[{bob}]", 'access_policy: {read: [NOBODY, "$$SCONE::policy$$"]}'),
    ],
)
def test_another_session_has_the_policy(
    client: Connection, alice: Identity, reads: Callable[[Identity], bool], fragment: str, access: str
) -> None:
    """The whole of it, an operation, or an entry; and it follows the other session at once."""
    bob, carol = Identity.generate("bob"), Identity.generate("carol")
    first = _POLICY.format(fragment=fragment.format(bob=bob.key_hash), predecessor="")
    status, answer = _post(client, first)
    assert status == 201
    text = _with_secrets(
        "- {name: policy, kind: config-fragment, import: {session: board, secret: policy}}",
        access.replace("NOBODY", str(Identity.generate("nobody").key_hash)),
    )
    assert _post(client, text)[0] == 201
    assert reads(bob)
    assert not reads(carol)
    predecessor = f"predecessor: {answer['hash']}"
    changed = _POLICY.format(fragment=fragment.format(bob=carol.key_hash), predecessor=predecessor)
    assert _post(client, changed)[0] == 201
    assert reads(carol)
    assert not reads(bob)
    assert not reads(alice)


def test_creator_in_an_imported_policy_is_the_importing_sessions(
    cas: EmbeddedCas, client: Connection, alice: Identity, reads: Callable[[Identity], bool]
) -> None:
    """As the reference says."""
    bob = Identity.generate("bob")
    assert _post(client, _POLICY.format(fragment="{read: [CREATOR]}", predecessor=""))[0] == 201
    text = _with_secrets(
        "- {name: policy, kind: config-fragment, import: {session: board, secret: policy}}",
        "access_policy: $$SCONE::policy$$",
    )
    with connect(*cas.client_address, bob, expected_peer=cas.key_hash) as connection:
        assert _post(connection, text)[0] == 201
    assert reads(bob)
    assert not reads(alice)


def test_a_policy_that_cannot_be_had_lets_nobody_in(
    client: Connection, alice: Identity, reads: Callable[[Identity], bool]
) -> None:
    """Neither by a default nor by what else is there."""
    text = _with_secrets(
        "- {name: policy, kind: config-fragment, import: {session: gone, secret: policy}}",
        "access_policy: $$SCONE::policy$$",
    )
    assert _post(client, text)[0] == 201
    assert not reads(alice)
    assert not reads(Identity.generate("bob"))


def test_old_documents_name_clients_by_certificates(client: Connection, reads: Callable[[Identity], bool]) -> None:
    """Language version 0.2: SHA-256 over the certificate's file, as ``sha256sum cert.pem`` prints it."""
    bob = Identity.generate("bob")
    digest = hashlib.sha256(bob.certificate.public_bytes(Encoding.PEM)).hexdigest()
    text = document(access=f"access_policy: {{read: [{digest}]}}").replace("0.3.10", "0.2")
    assert _post(client, text)[0] == 201
    assert reads(bob)
    assert not reads(Identity.generate("carol"))
