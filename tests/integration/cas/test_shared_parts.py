"""Services that have a part in other sessions: volumes, protection files, and who decides on their enclaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import BannockError, ConflictError, DeniedError, causes
from bannock.policy.configuration import UpdatePolicy
from bannock.values import FspfTag, Measurement
from tests.integration.cas.enclaves import Enclave, enclave
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection

_ONE, _TWO = (FspfTag(letter * 16) for letter in (b"1", b"2"))
_OTHER: Final = Measurement(b"\x33" * 32)
_SIM: Final = "security: {attestation: {tolerate: [simulation]}}"


def _post(client: Connection, text: str) -> str:
    answer = client.request("POST", "/session", text.encode())
    assert answer.status == 201, answer.body
    return str(json.loads(answer.body)["hash"])


def _why(error: BaseException) -> str:
    return " / ".join(
        line
        for cause in causes(error)
        for line in (str(cause), *(cause.reasons if isinstance(cause, BannockError) else ()))
    )


def _owner(export: str, *, predecessor: str = "", key: str = "") -> str:
    return f"""
name: owner
version: "0.3.10"
{f"predecessor: {predecessor}" if predecessor else ""}
services: [{{name: app, image_name: image, command: app, mrenclaves: ["{MEASUREMENT}"]}}]
images: [{{name: image, volumes: [{{name: data, path: /data}}]}}]
volumes: [{{name: data, {key} export: [{export}]}}]
{_SIM}
"""


def _guest(*, update_policy: str = "rollback_protected", volume: str = "data") -> str:
    return f"""
name: guest
version: "0.3.10"
services: [{{name: app, image_name: image, command: app, mrenclaves: ["{MEASUREMENT}"]}}]
images: [{{name: image, volumes: [{{name: mine, path: /mine, update_policy: {update_policy}}}]}}]
volumes: [{{name: mine, import: {{session: owner, volume: {volume}}}}}]
{_SIM}
"""


def test_an_imported_volume_has_one_line_of_states(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Whoever changes it, here or there, goes on from where the other one stopped."""
    _post(client, _owner("{to: {session: guest}, volume_alias: shared}"))
    _post(client, _guest(volume="shared"))
    (guests,) = app.attest(session="guest").volumes
    assert (guests.name, guests.path, guests.tag) == ("mine", "/mine", None)
    app.commit(None, _ONE, volume="mine")
    with enclave(cas.enclave_address, cas.key_hash) as own:
        (owners,) = own.attest(session="owner").volumes
        assert (owners.key, owners.tag) == (guests.key, _ONE)
        own.commit(_ONE, _TWO, volume="data")
        with pytest.raises(ConflictError, match="is in state"):
            app.commit(_ONE, FspfTag(b"3" * 16), volume="mine")
    assert app.attest(session="guest").volumes[0].tag == _TWO


def test_an_imported_volume_that_is_replaced_is_not_committed(client: Connection, app: Enclave) -> None:
    """An update of the exporting session ends what importers have open."""
    digest = _post(client, _owner("{session: guest}"))
    _post(client, _guest())
    app.attest(session="guest")
    _post(client, _owner("{session: guest}", predecessor=digest, key=f"fspf_key: {'ab' * 32}, fspf_tag: {_ONE}, "))
    with pytest.raises(ConflictError, match="replaced by an update of session owner"):
        app.commit(None, _TWO, volume="mine")
    assert app.attest(session="guest").volumes[0].tag == _ONE


def test_the_exporter_limits_what_becomes_of_a_volume(client: Connection, app: Enclave) -> None:
    """Ephemeral is ephemeral, whatever the importing session says; and a commit is refused then."""
    key = f"fspf_key: {'ab' * 32}, fspf_tag: {_ONE}, "
    _post(client, _owner("{to: {session: guest}, update_policy: ephemeral}", key=key))
    _post(client, _guest())
    (volume,) = app.attest(session="guest").volumes
    assert (volume.update_policy, volume.tag) == (UpdatePolicy.EPHEMERAL, _ONE)
    with pytest.raises(DeniedError, match="update_policy ephemeral"):
        app.commit(_ONE, _TWO, volume="mine")


def test_a_volume_that_is_not_exported_any_more_is_not_given(client: Connection, app: Enclave) -> None:
    """Export counts when the volume is used, not when it was imported."""
    digest = _post(client, _owner("{session: guest}"))
    _post(client, _guest())
    app.attest(session="guest")
    _post(client, _owner("{session: others}", predecessor=digest))
    with pytest.raises(DeniedError) as caught:
        app.attest(session="guest")
    assert "session owner does not export a volume data to session guest" in _why(caught.value)


def _trust(measurement: Measurement, *, predecessor: str = "") -> str:
    return f"""
name: admin
version: "0.3.10"
{f"predecessor: {predecessor}" if predecessor else ""}
secrets:
  - name: trusted
    kind: config-fragment
    export: [{{session: demo}}]
    value: [{{mrenclave: ["{measurement}"]}}]
  - name: platform
    kind: config-fragment
    export: [{{session: demo}}]
    value: {{tolerate: [simulation]}}
"""


_DELEGATED: Final = """
name: demo
version: "0.3.10"
services: [{name: app, command: app, attestation: [$$SCONE::trusted$$]}]
secrets:
  - {name: trusted, import: {session: admin, secret: trusted}}
  - {name: platform, import: {session: admin, secret: platform}}
security: {attestation: $$SCONE::platform$$}
"""


def test_another_session_decides_on_enclaves(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Its fragments are the newest ones at each attestation; without them nobody is trusted."""
    _post(client, _DELEGATED)
    with pytest.raises(DeniedError):
        app.attest()
    digest = _post(client, _trust(MEASUREMENT))
    assert app.attest().argv == ("app",)
    _post(client, _trust(_OTHER, predecessor=digest))
    with pytest.raises(DeniedError) as caught:
        app.attest()
    assert f"(MRENCLAVE, {MEASUREMENT}) - Expected {_OTHER}" in _why(caught.value)
    with enclave(cas.enclave_address, cas.key_hash, _OTHER) as other:
        assert other.attest().argv == ("app",)


_MAKERS: Final = f"""
name: maker
digest: create
services:
  - {{name: app, command: app, mrenclaves: ["{MEASUREMENT}"], fspf_path: /main.fspf, fspf_key: {"ab" * 32},
      fspf_tag: {"00" * 16}}}
exports: [{{namespace: service, name: app, export: "*"}}]
{_SIM}
"""


def _users(name: str) -> str:
    return f"name: {name}\ndigest: create\nservices: [{{name: app, import: maker}}]\n{_SIM}"


def test_users_of_one_protection_file_have_states_of_their_own(client: Connection, app: Enclave) -> None:
    """What one owner's runs leave behind is never what another owner's runs start from."""
    first = FspfTag(bytes(16))
    _post(client, _MAKERS)
    for name in ("alice", "bob"):
        _post(client, _users(name))
    for name, tag in (("alice", _ONE), ("bob", _TWO)):
        fspf = app.attest(session=name).fspf
        assert fspf is not None
        assert fspf.tags == (first,)
        app.commit_fspf(first, tag)
    for name, expected in (("alice", (_ONE, first)), ("bob", (_TWO, first)), ("maker", (first,))):
        fspf = app.attest(session=name).fspf
        assert fspf is not None
        assert fspf.tags == expected


def test_every_session_with_a_part_decides(client: Connection, app: Enclave) -> None:
    """The maker's measurement counts, and whether the user accepts the platform does, too."""
    _post(client, _MAKERS)
    _post(client, _users("alice").replace("[simulation]", "[debug-mode]"))
    with pytest.raises(DeniedError) as caught:
        app.attest(session="alice")
    assert "Unexpected platform (platform, sim)" in _why(caught.value)


def test_what_is_imported_has_to_be_there(client: Connection, app: Enclave) -> None:
    """A session that is missing is named; the one that was asked for is there."""
    _post(client, _users("alice"))
    with pytest.raises(DeniedError) as caught:
        app.attest(session="alice")
    assert "session alice imports from session maker, which is not there" in _why(caught.value)
    _post(client, _MAKERS.replace('export: "*"', "export: bob"))
    with pytest.raises(DeniedError) as caught:
        app.attest(session="alice")
    assert "session maker does not export service app to session alice" in _why(caught.value)


def test_a_second_factor_is_not_gone_round_by_importing(client: Connection, app: Enclave) -> None:
    """A service that asks for one is started by its own session alone."""
    _post(client, _MAKERS.replace("security: {", "security: {service_access_token: token, "))
    _post(client, _users("alice"))
    with pytest.raises(DeniedError) as caught:
        app.attest(session="alice")
    assert "asks for a second factor" in _why(caught.value)


_FILES: Final = f"""
name: demo
version: "0.3.10"
%s
services:
  - {{name: app, image_name: files, command: app, mrenclaves: ["{MEASUREMENT}"]}}
  - {{name: plain, command: app, mrenclaves: ["{MEASUREMENT}"]}}
images: [{{name: files, injection_files: [/etc/my.cnf]}}]
secrets: [{{name: password, kind: ascii, value: open-sesame}}, {{name: blob, kind: binary, size: 4}}]
{_SIM}
"""


def test_secrets_for_files_of_the_image(client: Connection, app: Enclave) -> None:
    """Only a service that has such files asks for them, and only as long as its session is the same."""
    digest = _post(client, _FILES % "")
    with pytest.raises(DeniedError, match="has not been attested"):
        app.secrets("password")
    app.attest(service="plain")
    with pytest.raises(DeniedError, match="no files to put secrets in"):
        app.secrets("password")
    (file,) = app.attest().files
    assert (file.path, file.content, file.mode) == ("/etc/my.cnf", None, 0o700)
    found = app.secrets("password", "blob", "blob:hex", "password|escape(json)")
    assert found["password"] == found["password|escape(json)"] == b"open-sesame"
    assert found["blob"].hex().encode() == found["blob:hex"]
    for body, message in (("nobody", "has no secret"), ("password:hex", "has no format"), ("a b", "a placeholder is")):
        with pytest.raises(BannockError, match=message):
            app.secrets("password", body)
    _post(client, _FILES % f"predecessor: {digest}")
    with pytest.raises(ConflictError, match="was changed meanwhile"):
        app.secrets("password")
