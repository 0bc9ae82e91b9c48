"""What a CAS counts of itself, in the text format of Prometheus.

Labels are taken from fixed lists: no name, key, address or secret of anybody is ever in one. Several processes of one
CAS count in files of one directory, and each of them tells the sum.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.errors import Bug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["SHARED_DIRECTORY", "Metrics", "metrics_application", "route_of"]

#: The library counts for several processes in this directory, which has to be there before it is imported.
SHARED_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ROUTES: Final = (
    "/v1/enclave/nonce",
    "/v1/enclave/attest",
    "/v1/enclave/token",
    "/v1/enclave/commits",
    "/v1/enclave/volumes/",
    "/v1/enclave/fspf/commit",
    "/v1/sessions",
    "/v1/sessions/",
    "/session",
    "/session/",
    "/v1/values/",
    "/v1/volumes/",
    "/v1/attest",
    "/v1/exports",
    "/v1/owner",
    "/v1/owner/",
    "/v1/replica",
    "/.well-known/",
    "/livez",
    "/readyz",
    "/openapi.json",
    "/console",
    "/console/",
)
_OTHER: Final = "other"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def route_of(path: str) -> str:
    """Give which route a path belongs to, without what the client chose of it."""
    found = _OTHER
    for route in _ROUTES:
        if path == route or (route.endswith("/") and path.startswith(route)):
            found = route
    return found


class Metrics:
    """The counters of one process."""

    def __init__(self, *, provisioned: Callable[[], bool], expiry: Callable[[], Mapping[str, float]] = dict) -> None:
        """Begin to count.

        Args:
            provisioned: whether the CAS has an owner, asked whenever the counters are read.
            expiry: gives for each platform the seconds until the first service there would stop attesting.
        """
        # Slow to import, and many a CAS counts nothing.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415
        from prometheus_client.exposition import generate_latest  # noqa: PLC0415
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        own = CollectorRegistry()
        self._requests = Counter(
            "bannock_cas_requests",
            "Requests that were answered.",
            ["interface", "method", "route", "status"],
            registry=own,
        )
        self._seconds = Histogram(
            "bannock_cas_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["interface", "route"],
            registry=own,
            buckets=_BUCKETS,
        )
        info = Gauge(
            "bannock_cas_info", "1, with the version.", ["version"], registry=own, multiprocess_mode="livemax"
        )
        info.labels(__version__).set(1)
        self._provisioned = provisioned
        self._owner = Gauge(
            "bannock_cas_provisioned",
            "Whether the CAS has an owner.",
            registry=own,
            multiprocess_mode="livemax",
        )
        self._expiry = expiry
        self._left = Gauge(
            "bannock_attestation_expiry_seconds",
            "Seconds until the first service on a platform would stop attesting, unless something is done.",
            ["platform"],
            registry=own,
            multiprocess_mode="livemin",
        )
        self._registry = own
        if SHARED_DIRECTORY in os.environ:
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        self._latest = generate_latest

    def count(self, interface: str, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request; status 0 is one that nobody waited for."""
        route = route_of(path)
        told = method if method in _METHODS else _OTHER
        self._requests.labels(interface, told, route, str(status)).inc()
        self._seconds.labels(interface, route).observe(seconds)

    def text(self) -> bytes:
        """Tell all that was counted."""
        self._owner.set(self._provisioned())
        for platform, seconds in self._expiry().items():
            self._left.labels(platform).set(seconds)
        return self._latest(self._registry)


def metrics_application(metrics: Metrics) -> ASGIApp:
    """Make the ASGI application that answers ``GET /metrics``."""

    async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise Bug("metrics are asked for by HTTP")
        known = scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD")
        body = metrics.text() if known else b"the metrics are at /metrics\n"
        content_type = b"text/plain; version=0.0.4; charset=utf-8"
        await send(
            {
                "type": "http.response.start",
                "status": 200 if known else 404,
                "headers": [(b"content-type", content_type), (b"content-length", str(len(body)).encode("ascii"))],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return answer
