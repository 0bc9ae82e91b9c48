"""A CAS with a clock of the test's own and a LAS, to run services of sessions as their operators do."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bannock.cas import Cas, CasConfig
from bannock.cas.serving import endpoints
from bannock.las.service import EmbeddedLas
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.server import ThreadedServer
from tests.e2e import machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.evidence.platforms import ReportAttester
    from bannock.net.client import Response
    from bannock.net.tls import Identity

__all__ = ["Site"]


@dataclass(kw_only=True)
class Site:
    """Where services run; a context manager makes one.

    Attributes:
        home: of whoever starts services.
        cas: the CAS.
        later: how far its clock is ahead.
    """

    home: Path
    cas: Cas
    later: dt.timedelta = dt.timedelta()
    _addresses: tuple[Address, Address] = (Address("", 0), Address("", 0))
    _las: str = ""

    @classmethod
    @contextmanager
    def opened(
        cls, home: Path, attester: ReportAttester | None = None, *, tpm_roots: Path | None = None
    ) -> Iterator[Self]:
        """Start both services; with an attester, the LAS is on a machine that it vouches for."""
        loopback = Address("127.0.0.1", 0)
        files = CasConfig.in_directory(home / "cas")
        config = replace(files, api=loopback, enclave=loopback, tpm_roots=tpm_roots)
        found: list[Site] = []

        def clock() -> dt.datetime:
            return dt.datetime.now(dt.UTC) + (found[0].later if found else dt.timedelta())

        cas = Cas(config, clock=clock)
        server = ThreadedServer(*endpoints(cas, config))
        server.start()
        try:
            with EmbeddedLas(home / "las", attester) as las:
                api, enclave = (Address("127.0.0.1", port) for port in server.ports)
                site = cls(home=home, cas=cas, _addresses=(api, enclave), _las=las.address)
                found.append(site)
                yield site
        finally:
            server.stop()
            cas.close()

    @property
    def client_address(self) -> Address:
        """Where owners of sessions reach the CAS."""
        return self._addresses[0]

    @property
    def enclave_address(self) -> Address:
        """Where services reach the CAS."""
        return self._addresses[1]

    def ask(self, who: Identity | None, method: str, path: str, body: str = "") -> Response:
        """Send a request to the client API."""
        with connect(*self._addresses[0], who, expected_peer=self.cas.key_hash) as client:
            return client.request(method, path, body.encode())

    def post(self, who: Identity, text: str) -> str:
        """Make a session, or its next version, and give its hash."""
        answer = self.ask(who, "POST", "/v1/sessions", text)
        assert answer.status == 201, answer.body.decode()
        return str(json.loads(answer.body)["hash"])

    def refused(self, who: Identity | None, method: str, path: str, body: str = "") -> Any:
        """Send a request that is to be refused, and give the document that says why."""
        answer = self.ask(who, method, path, body)
        assert answer.status in (403, 404), answer.body
        return json.loads(answer.body)

    def run(
        self,
        config_id: str,
        *arguments: str,
        program: str = "/bin/sh",
        options: Sequence[str] = ("--mount", "memory"),
        las: str | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a service."""
        return machine.run(
            machine.ourselves(),
            ["run", *options, "--", program, *arguments],
            home=self.home,
            SCONE_CAS_ADDR=str(self.enclave_address),
            BANNOCK_CAS_KEY=str(self.cas.key_hash),
            SCONE_LAS_ADDR=las or self._las,
            SCONE_CONFIG_ID=config_id,
            **variables,
        )

    def container_options(self, config_id: str) -> tuple[str, ...]:
        """Return options by which a container is a service of a session."""
        settings = {
            "SCONE_CAS_ADDR": str(self.enclave_address),
            "BANNOCK_CAS_KEY": str(self.cas.key_hash),
            "SCONE_LAS_ADDR": "unix:/run/bannock-las/las.sock",
            "SCONE_CONFIG_ID": config_id,
        }
        las = Path(self._las.removeprefix("unix:"))
        # As `bannock las serve` does it: whoever asks is measured.
        las.parent.chmod(0o755)
        las.chmod(0o666)
        variables = (word for name, value in settings.items() for word in ("-e", f"{name}={value}"))
        return ("--network", "host", "-v", f"{las.parent}:/run/bannock-las", *variables)

    @contextmanager
    def started(self, config_id: str, *arguments: str, program: str) -> Iterator[subprocess.Popen[str]]:
        """Start a service that goes on, and end it."""
        process = subprocess.Popen(
            machine.ourselves().command("run", "--mount", "memory", "--", program, *arguments),
            env={
                "HOME": str(self.home),
                "TMPDIR": str(self.home / "tmp"),
                "PATH": os.defpath,
                "SCONE_CAS_ADDR": str(self.enclave_address),
                "BANNOCK_CAS_KEY": str(self.cas.key_hash),
                "SCONE_LAS_ADDR": self._las,
                "SCONE_CONFIG_ID": config_id,
            },
            cwd=self.home,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)
            if process.stdout is not None:
                process.stdout.close()

    def output(self, config_id: str, *arguments: str, **how: Any) -> str:
        """Run a service that is to succeed, and give what it printed."""
        done = self.run(config_id, *arguments, **how)
        assert done.returncode == 0, done.stderr
        return done.stdout
