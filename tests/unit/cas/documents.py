"""Session documents that the tests of the CAS send."""

from __future__ import annotations

from bannock.values import Measurement

__all__ = ["MEASUREMENT", "document"]

MEASUREMENT = Measurement(b"\x11" * 32)


def document(
    name: str = "demo",
    *,
    predecessor: str | None = None,
    measurement: Measurement = MEASUREMENT,
    tolerate: str = "simulation",
    access: str = "",
    made: str = "size: 20",
    volume: str = "",
    variable: str = "one",
    fspf: str = "",
) -> str:
    """Write a session with one service, a volume of its own, a public secret and a private one."""
    return f"""
name: {name}
version: "0.3.10"
{"predecessor: " + predecessor if predecessor else ""}
services:
  - name: app
    image_name: image
    command: ["/bin/app", "--password", "$$SCONE::password$$"]
    environment: {{VARIABLE: "{variable}"}}
    pwd: /
    mrenclaves: ["{measurement}"]
    {fspf}
images:
  - name: image
    volumes: [{{name: output, path: /output}}]
volumes:
  - name: output
    {volume}
secrets:
  - {{name: password, kind: ascii, {made}}}
  - {{name: greeting, kind: ascii, value: hello-everybody, export_public: true}}
security:
  attestation:
    tolerate: [{tolerate}]
{access}
"""
