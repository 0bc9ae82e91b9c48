"""Both interfaces as their OpenAPI documents describe them, asked by schemathesis: no answer that is not described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import settings

from bannock.net.client import connect
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cas import EmbeddedCas
    from bannock.net.tls import Identity

_EXAMPLES: Final = 5
_CHECKS: Final = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


@pytest.mark.parametrize("interface", ["client", "enclave"])
def test_every_answer_is_described(cas: EmbeddedCas, alice: Identity, tmp_path: Path, interface: str) -> None:
    """Requests of the described form, and such that are not, get an answer that the document tells of; no 5xx."""
    with connect(*cas.client_address, alice, expected_peer=cas.key_hash) as client:
        client.request("POST", "/v1/sessions", document().encode())
        body = {"token": cas.cas.owner.token, "config": '[audit_log]\nsink = "database"\n'}
        client.request_json("POST", "/v1/owner/provision", body)
    address = cas.client_address if interface == "client" else cas.enclave_address
    identity, authority = tmp_path / "alice.pem", tmp_path / "cas.pem"
    identity.write_bytes(alice.to_pem().reveal())
    authority.write_bytes(cas.cas.store.identity.certificate_pem)
    with requests.Session() as session:
        session.trust_env, session.verify, session.cert = False, str(authority), str(identity)
        url = f"https://{address}"
        described = session.get(f"{url}/openapi.json", timeout=10).json()
        schema = schemathesis.openapi.from_dict(described)
        schema.config.update(base_url=url)
        operations: list[Any] = list(schema.get_all_operations())
        for operation in operations:
            _ask(operation.ok(), session)
    assert len(operations) == sum(len(path) for path in described["paths"].values())


def _ask(operation: Any, session: requests.Session) -> None:
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.validate_response(case.call(session=session, verify=session.verify, timeout=10), checks=_CHECKS)

    ask()
