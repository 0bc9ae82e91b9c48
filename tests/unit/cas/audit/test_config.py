"""The owner's section of the audit log: what it may say, and what each slip is told."""

from __future__ import annotations

import pytest

from bannock.cas.audit.config import AuditLogConfig, DatabaseOnly, Keep, Mode, OnFull, ToFile, ToServer
from bannock.errors import InputError
from tests.unit.cas.audit.logs import CAS

_PEM = CAS.certificate_pem.decode()


def test_defaults() -> None:
    """Without a section the log is signed and in the database; with one it goes to a file too."""
    assert AuditLogConfig() == AuditLogConfig(
        mode=Mode.SIGNED, sink=DatabaseOnly(), on_full=OnFull.STOP, keep=Keep.ALL
    )
    assert AuditLogConfig.from_mapping({"mode": "signed"}) == AuditLogConfig(sink=ToFile())


@pytest.mark.parametrize("mode", ["disabled", "unsigned", "signed"])
def test_modes(mode: str) -> None:
    """The modes of the reference."""
    assert AuditLogConfig.from_mapping({"mode": mode}).mode == mode


def test_a_log_server() -> None:
    """An URL, and an authority whose lines may be indented."""
    indented = "\n" + "".join(f"  {line}\n" for line in _PEM.splitlines())
    config = AuditLogConfig.from_mapping(
        {"sink": "network", "url": "https://logs.example.com/append", "server_ca_certificate": indented}
    )
    assert config.sink == ToServer(url="https://logs.example.com/append", server_ca_certificate=_PEM)


def test_the_other_choices() -> None:
    """What becomes of operations when the sink is full, and what the database keeps."""
    config = AuditLogConfig.from_mapping({"on_full": "drop-and-count", "keep": "checkpoints"})
    assert (config.on_full, config.keep) == (OnFull.DROP_AND_COUNT, Keep.CHECKPOINTS)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"mod": "signed"},
            "audit_log.mod is not known, allowed: keep, mode, on_full, server_ca_certif",
        ),
        ({"mode": "on"}, "audit_log.mode is disabled or unsigned or signed, found 'on'"),
        ({"mode": True}, "audit_log.mode is disabled or unsigned or signed, found True"),
        ({"sink": "syslog"}, "audit_log.sink is file, network or database, found 'syslog'"),
        ({"sink": "network"}, "audit_log.url is the URL of the log server"),
        ({"sink": "network", "url": "ftp://x/y"}, "audit_log.url is the URL of the log server"),
        ({"sink": "network", "url": "https://"}, "audit_log.url is the URL of the log server"),
        ({"url": "https://x/"}, 'audit_log.url is for sink = "network"'),
        ({"sink": "network", "url": "https://x/", "server_ca_certificate": "x"}, "is not a certificate in PEM"),
        ({"sink": "network", "url": "https://x/", "server_ca_certificate": 1}, "is a text in PEM"),
        ({"on_full": "drop"}, "audit_log.on_full is stop or drop-and-count, found 'drop'"),
        ({"sink": "database", "keep": "checkpoints"}, "nobody would have the log"),
    ],
)
def test_slips(document: dict[str, object], message: str) -> None:
    """Each says what is allowed."""
    with pytest.raises(InputError) as caught:
        AuditLogConfig.from_mapping(document)
    assert message in caught.value.message
