"""The client API over real TLS, in the shapes that clients parse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import EnvironmentFault
from bannock.evidence.receipt import verify_receipt
from bannock.net.client import connect
from bannock.net.tls import Identity
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection

_TABLE = Path(__file__).parents[3] / "docs" / "cas-api.md"


def _get(connection: Connection, path: str) -> tuple[int, Any]:
    answer = connection.request("GET", path)
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("path", ["/session", "/v1/sessions"])
@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded", "text/plain", "application/json"])
def test_a_session_is_taken_under_any_content_type(client: Connection, path: str, content_type: str) -> None:
    """The answer is 201 and the hash, one key a line."""
    answer = client.request("POST", path, document().encode(), content_type)
    assert answer.status == 201
    told = json.loads(answer.body)
    assert answer.body.decode() == f'{{\n  "hash": "{told["hash"]}",\n  "receipt": "{told["receipt"]}"\n}}\n'
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/session/demo", "/v1/sessions/demo"])
def test_a_session_is_read(client: Connection, path: str) -> None:
    """The answer has the document as it was sent, and its hash."""
    text = document()
    digest = json.loads(client.request("POST", "/session", text.encode()).body)["hash"]
    status, answer = _get(client, path)
    receipt = verify_receipt(answer.pop("receipt"), client.peer_key_hash)
    assert (status, answer) == (200, {"session": text, "hash": digest})
    assert (receipt.session, receipt.generation, receipt.digest) == ("demo", 1, digest)


def test_a_name_may_hold_slashes(client: Connection) -> None:
    """Namespaces are part of the path, encoded or not."""
    client.request("POST", "/session", document("space").encode())
    assert client.request("POST", "/session", document("space/inner").encode()).status == 201
    assert client.request("GET", "/session/space/inner").status == 200
    assert client.request("GET", "/v1/sessions/space%2Finner").status == 200


def test_an_older_version_is_read_by_its_hash(client: Connection) -> None:
    """``?hash=`` names the version."""
    first = json.loads(client.request("POST", "/session", document().encode()).body)["hash"]
    assert client.request("POST", "/session", document(predecessor=first).encode()).status == 201
    answer = _get(client, f"/v1/sessions/demo?hash={first}")[1]
    assert verify_receipt(answer.pop("receipt"), client.peer_key_hash).generation == 1
    assert answer == {"session": document(), "hash": first}
    assert _get(client, "/v1/sessions/demo?hash=x")[0] == 400


def test_errors_are_problems_and_lists(client: Connection) -> None:
    """Clients read msg[0]; RFC 9457 has its members; the request has an id."""
    answer = client.request("GET", "/session/nope")
    problem = json.loads(answer.body)
    assert answer.status == problem["status"] == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["msg"][0].startswith("Session not found")
    assert problem["type"] == "urn:bannock:error:not-found"
    assert problem["request"] == answer.headers["x-request-id"]


def test_a_second_create_conflicts(client: Connection) -> None:
    """409, and the text that clients look for."""
    client.request("POST", "/session", document().encode())
    answer = client.request("POST", "/session", document().encode())
    assert answer.status == 409
    assert b"Session already exists" in answer.body


def test_a_wrong_document_is_told_issue_by_issue(client: Connection) -> None:
    """Each issue is a line of msg, with its place."""
    answer = client.request("POST", "/session", b"name: x\nversion: '0.3'\nacess_policy: {}\n")
    assert answer.status == 400
    assert any("line 3 column 1" in line for line in json.loads(answer.body)["msg"])


def test_clients_are_told_apart_by_their_keys(cas: EmbeddedCas, client: Connection) -> None:
    """Another key is another client, and no key is none."""
    client.request("POST", "/session", document().encode())
    for identity in (Identity.generate("alice"), None):
        with connect(*cas.client_address, identity, expected_peer=cas.key_hash) as other:
            assert _get(other, "/session/demo")[0] == 403
            assert _get(other, "/v1/volumes/session=demo,volume=output")[0] == 403


def test_public_values_are_read_without_a_certificate(cas: EmbeddedCas, client: Connection) -> None:
    """All of them, or one; a private one is not readable."""
    client.request("POST", "/session", document().encode())
    with connect(*cas.client_address, None, expected_peer=cas.key_hash) as anybody:
        assert _get(anybody, "/v1/values/session=demo") == (
            200,
            {"values": {"greeting": {"value": "hello-everybody"}}},
        )
        assert _get(anybody, "/v1/values/session=demo,secret=greeting") == (200, {"value": "hello-everybody"})
        assert _get(anybody, "/v1/values/session=demo,secret=password")[0] == 404
        assert _get(anybody, "/v1/values/session=nope")[0] == 404
        assert _get(anybody, "/v1/values/nonsense")[0] == 400


def test_the_state_of_a_volume_is_read(client: Connection) -> None:
    """Null before it is initialised."""
    client.request("POST", "/session", document().encode())
    assert _get(client, "/v1/volumes/session=demo,volume=output") == (200, {"tag": None})
    assert _get(client, "/v1/volumes/session=demo,volume=nope")[0] == 404
    assert _get(client, "/v1/volumes/session=demo")[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("DELETE", "/session/demo", 405), ("GET", "/docs", 404)]
)
def test_what_is_not_there_is_a_problem_too(client: Connection, method: str, path: str, status: int) -> None:
    """Unknown paths and methods are answered in the same shape."""
    answer = client.request(method, path)
    assert answer.status == status
    assert json.loads(answer.body)["status"] == status


@pytest.mark.parametrize("size", [3 << 20, 40 << 20])
def test_a_body_is_bounded(cas: EmbeddedCas, client: Connection, size: int) -> None:
    """More than a session can be is refused, and the service goes on."""
    assert client.request("POST", "/session", b"x" * size).status == 400
    with connect(*cas.client_address, None, expected_peer=cas.key_hash) as other:
        assert _get(other, "/v1/values/session=demo")[0] == 404


def test_bytes_that_are_not_text_are_refused(client: Connection) -> None:
    """A document is UTF-8."""
    answer = client.request("POST", "/session", b"name: \xff")
    assert answer.status == 400
    assert b"byte 6 is not" in answer.body


def test_the_description_is_true(client: Connection) -> None:
    """Every route is described with its statuses, and problems with their media type."""
    status, described = _get(client, "/openapi.json")
    assert status == 200
    documented = re.findall(r"^\| `[A-Z]+ (/\S+)` \|", _TABLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(described["paths"]) == set(documented)
    post = described["paths"]["/v1/sessions"]["post"]
    assert list(post["requestBody"]["content"]) == ["*/*"]
    assert set(post["responses"]) == {"201", "400", "403", "404", "409", "500", "503"}
    assert list(post["responses"]["409"]["content"]) == ["application/problem+json"]
    assert "422" not in json.dumps(described)


def test_the_certificate_is_for_the_name_cas(cas: EmbeddedCas) -> None:
    """Clients reach it by that name in a network of containers."""
    extensions = cas.cas.store.identity.certificate.extensions
    names = [str(value.value) for extension in extensions for value in getattr(extension.value, "_general_names", ())]
    assert {"cas", "localhost", "127.0.0.1"} <= set(names)


@pytest.mark.parametrize(("path", "status"), [("/livez", "alive"), ("/readyz", "ready")])
def test_probes_need_no_certificate(cas: EmbeddedCas, path: str, status: str) -> None:
    """An orchestrator has none."""
    with connect(*cas.client_address, None, expected_peer=cas.key_hash) as probe:
        assert _get(probe, path) == (200, {"status": status})


def test_a_cas_without_its_database_lives_and_is_not_ready(
    cas: EmbeddedCas, client: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it gets no requests, and is not started anew for the fault of another."""

    def away() -> None:
        raise EnvironmentFault("the database is away")

    monkeypatch.setattr(cas.cas.store, "reading", away)
    assert client.request("GET", "/readyz").status == 503
    assert client.request("GET", "/livez").status == 200


@pytest.mark.parametrize("path", ["/session", "/v1/sessions"])
def test_no_session_is_not_found(client: Connection, path: str) -> None:
    """So clients that only ask whether a CAS is there get the answer that they know."""
    status, problem = _get(client, path)
    assert status == 404
    assert problem["msg"][0].startswith("Session not found")
