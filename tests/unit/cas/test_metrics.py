"""What a CAS counts: by routes, never by names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bannock.cas.metrics import Metrics, route_of


def test_routes_are_told_without_what_clients_chose() -> None:
    """The part of a path that is a name is not in a label."""
    assert route_of("/v1/sessions/space/demo") == "/v1/sessions/"
    assert route_of("/v1/sessions") == "/v1/sessions"
    assert route_of("/v1/enclave/volumes/data/commit") == "/v1/enclave/volumes/"
    assert route_of("/canary") == "other"


@given(st.text(), st.sampled_from(["GET", "CANARY-METHOD"]), st.sampled_from(["/v1/sessions/", "/", ""]))
def test_nothing_of_a_request_is_in_the_metrics(name: str, method: str, prefix: str) -> None:
    """Whatever a client sends, the labels are from fixed lists."""
    metrics = Metrics(provisioned=lambda: True)
    metrics.count("client", method, f"{prefix}canary{name}", 200, 0.1)
    text = metrics.text().decode()
    assert "canary" not in text.lower()
    assert "bannock_cas_requests_total{" in text
    assert "bannock_cas_provisioned 1.0" in text
