"""A server that speaks what Intel (PCS, version 4), caches of it (PCCS) and AMD (KDS) document; tests use HTTPS."""

from __future__ import annotations

import datetime as dt
import json
import os
import ssl
import threading
import urllib.parse
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from bannock.evidence.collateral.intel import IntelCollateral
from bannock.policy.certificates import CertificateProfile, issue
from bannock.policy.private_keys import make_private_key
from bannock.policy.secret_specs import KeyType

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.evidence.collateral.needs import AmdChainNeed, IntelNeed, VcekNeed

Reply = tuple[int, dict[str, str], bytes]
_NOT_FOUND: Reply = (404, {}, b"")


def make_certificate(path: Path) -> Path:
    """Write key and certificate of ``localhost``."""
    key = make_private_key(KeyType.P256, os.urandom)
    profile = CertificateProfile(common_name="localhost", authority=False, dns_names=("localhost",))
    bundle = replace(
        issue(profile, key, None, random=os.urandom, now=dt.datetime.now(dt.UTC)),
        private_key=key,
    )
    path.write_bytes(bundle.to_pem())
    return path


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that do not trust us: tests do that on purpose."""


@dataclass(kw_only=True)
class VendorServer:
    """What it answers, and what it was asked.

    Attributes:
        certificate: PEM, private key first, of ``localhost``.
        cache: whether it answers as a PCCS does: lists in hexadecimal, and a route for the root's.
        subscription_key: what Intel's routes ask for, if anything.
        requests: paths with queries, in their order.
        answer: if it is set, every request is answered with it instead.
        silent: if it is set, no answer comes before the event does.
    """

    certificate: Path
    cache: bool = False
    subscription_key: str | None = None
    intel: dict[IntelNeed, str] = field(default_factory=dict)
    chips: dict[VcekNeed, bytes] = field(default_factory=dict)
    chains: dict[AmdChainNeed, bytes] = field(default_factory=dict)
    crls: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    answer: Reply | None = None
    silent: threading.Event | None = None

    def add(self, text: str) -> IntelNeed:
        """Have collateral."""
        need = IntelCollateral.parse(text).need
        self.intel[need] = text
        return need

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                if server.silent is not None:
                    server.silent.wait(10)
                key = self.headers.get("Ocp-Apim-Subscription-Key")
                status, headers, body = server.answer or server.reply(self.path, key)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self._http = _Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://localhost:{self._http.server_address[1]}"

    def reply(self, target: str, key: str | None) -> Reply:
        """Answer a request."""
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query))
        path = parts.path.strip("/").split("/")
        if path[1:2] == ["certification"]:
            return (401, {}, b"") if self.subscription_key not in (None, key) else self._intel(path, query)
        if path == ["root.der"]:
            return self._crl("root_ca_crl", None)
        return self._amd(path, query)

    def _intel(self, path: list[str], query: dict[str, str]) -> Reply:
        match path:
            case [tee, _, "v4", "tcb"]:
                return self._signed(tee, query.get("fmspc", ""), "tcb_info", "tcbInfo", "TCB-Info-Issuer-Chain")
            case [tee, _, "v4", "qe", "identity"]:
                header = "SGX-Enclave-Identity-Issuer-Chain"
                return self._signed(tee, None, "qe_identity", "enclaveIdentity", header)
            case ["sgx", _, "v4", "pckcrl"] if query.get("encoding") == "der":
                return self._crl("pck_crl", query["ca"])
            case ["sgx", _, "v4", "rootcacrl"] if self.cache:
                return self._crl("root_ca_crl", None)
        return _NOT_FOUND

    def _signed(self, tee: str, fmspc: str | None, name: str, member: str, header: str) -> Reply:
        for need, text in self.intel.items():
            if need.tee == tee and fmspc in (None, need.fmspc):
                found = json.loads(text)
                body = f'{{"{member}":{found[name]},"signature":"{found[f"{name}_signature"]}"}}'
                chain = urllib.parse.quote(found[f"{name}_issuer_chain"])
                return 200, {header: chain, "Content-Type": "application/json"}, body.encode()
        return _NOT_FOUND

    def _crl(self, name: str, ca: str | None) -> Reply:
        for need, text in self.intel.items():
            if ca in (None, need.ca):
                found = json.loads(text)
                body = found[name].encode() if self.cache else bytes.fromhex(found[name])
                return 200, {"SGX-PCK-CRL-Issuer-Chain": urllib.parse.quote(found["pck_crl_issuer_chain"])}, body
        return _NOT_FOUND

    def _amd(self, path: list[str], query: dict[str, str]) -> Reply:
        signer, product, rest = path[0], "".join(path[2:3]), path[3:]
        for chain, body in self.chains.items():
            if (chain.signer, chain.product, ["cert_chain"]) == (signer, product, rest):
                return 200, {}, body
        if rest == ["crl"] and product in self.crls:
            return 200, {}, self.crls[product]
        for chip, body in self.chips.items():
            levels = {name: f"{level:02}" for name, level in chip.levels}
            if signer == "vcek" and rest == [chip.chip_id] and query == levels:
                return 200, {}, body
        return _NOT_FOUND
