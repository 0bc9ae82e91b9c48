"""Sharing: who may import what, down to versions, namespaces, aliases and other CASes."""

from __future__ import annotations

import pytest

from bannock.errors import DeniedError
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.references import RemoteCas, SessionReference
from bannock.policy.secret_specs import GeneratedValue, ImportedValue, SecretExport, SecretSpec
from bannock.policy.session import GeneratedKey, Session, Volume, VolumeExport
from bannock.policy.sharing import (
    Importer,
    find_exported_secret,
    find_exported_volume,
    limit_update_policy,
    require_kind,
    require_version,
)
from bannock.policy.template import SecretKind
from bannock.values import KeyHash

_DIGEST, _OTHER = "ab" * 32, "cd" * 32
_CAS, _SOFTWARE, _STRANGER = (KeyHash(bytes([number]) * 32) for number in (1, 2, 3))


def _exporter(*exports: SecretExport, public: bool = False, volume: tuple[VolumeExport, ...] = ()) -> Session:
    secret = SecretSpec(
        name="s", kind=SecretKind.ASCII, source=GeneratedValue(size=8), export=exports, export_public=public
    )
    shared = Volume(name="v", key=GeneratedKey(), export=volume)
    return Session(name="exporter", version="0.3.10", secrets=(secret,), volumes=(shared,), digest=_DIGEST)


def _to(name: str, digest: str | None = None, cas: RemoteCas | None = None) -> SessionReference:
    return SessionReference(name=name, digest=digest, cas=cas)


def _remote(key: KeyHash | None = None, software_key: KeyHash | None = None) -> RemoteCas:
    return RemoteCas(address="cas.example", key=key, software_key=software_key)


@pytest.mark.parametrize(
    ("export", "importer", "allowed"),
    [
        (SecretExport(to=_to("a")), Importer(name="a", digest=_DIGEST), True),
        (SecretExport(to=_to("a")), Importer(name="b", digest=_DIGEST), False),
        (SecretExport(to=_to("a")), Importer(name="a/b", digest=_DIGEST), False),
        (SecretExport(to=_to("a", _DIGEST)), Importer(name="a", digest=_DIGEST), True),
        (SecretExport(to=_to("a", _OTHER)), Importer(name="a", digest=_DIGEST), False),
        (SecretExport(to=_to("a"), nested=True), Importer(name="a", digest=_DIGEST), True),
        (SecretExport(to=_to("a"), nested=True), Importer(name="a/b", digest=_DIGEST), True),
        (SecretExport(to=_to("a"), nested=True), Importer(name="a/b/c", digest=_DIGEST), True),
        (SecretExport(to=_to("a"), nested=True), Importer(name="ab", digest=_DIGEST), False),
        (SecretExport(to=_to("a/b"), nested=True), Importer(name="a", digest=_DIGEST), False),
        # On another CAS: the same name here is somebody else.
        (SecretExport(to=_to("a", cas=_remote(_CAS))), Importer(name="a", digest=_DIGEST), False),
        (SecretExport(to=_to("a")), Importer(name="a", digest=_DIGEST, cas=frozenset({_CAS})), False),
        (
            SecretExport(to=_to("a", cas=_remote(_CAS))),
            Importer(name="a", digest=_DIGEST, cas=frozenset({_CAS, _SOFTWARE})),
            True,
        ),
        (
            SecretExport(to=_to("a", cas=_remote(_CAS))),
            Importer(name="a", digest=_DIGEST, cas=frozenset({_STRANGER, _SOFTWARE})),
            False,
        ),
        (
            SecretExport(to=_to("a", cas=_remote(None, _SOFTWARE))),
            Importer(name="a", digest=_DIGEST, cas=frozenset({_STRANGER, _SOFTWARE})),
            True,
        ),
        (
            SecretExport(to=_to("a", cas=_remote(_CAS, _SOFTWARE))),
            Importer(name="a", digest=_DIGEST, cas=frozenset({_STRANGER, _SOFTWARE})),
            False,
        ),
        (
            SecretExport(to=_to("a", cas=_remote())),
            Importer(name="a", digest=_DIGEST, cas=frozenset({_CAS})),
            False,
        ),
    ],
)
def test_who_may_import(export: SecretExport, importer: Importer, *, allowed: bool) -> None:
    """By name, by namespace, in one version alone, and on another CAS by its key."""
    exporter = _exporter(export)
    if allowed:
        assert find_exported_secret(exporter, "s", importer).name == "s"
        return
    with pytest.raises(DeniedError, match="session exporter does not export a secret s to session"):
        find_exported_secret(exporter, "s", importer)


def test_what_is_public_may_be_imported_by_everybody() -> None:
    """Whoever could read it anyway."""
    exporter = _exporter(public=True)
    assert find_exported_secret(exporter, "s", Importer(name="any", digest=_DIGEST))


def test_what_is_not_there_is_refused_like_what_is_not_exported() -> None:
    """Nobody learns which secrets a session has by asking for them."""
    importer = Importer(name="a", digest=_DIGEST)
    told = []
    for secret, exporter in (("s", _exporter()), ("s", Session(name="exporter", version="0.3", digest=_DIGEST))):
        with pytest.raises(DeniedError) as caught:
            find_exported_secret(exporter, secret, importer)
        told.append((caught.value.message, caught.value.hint))
    assert told[0] == told[1]


def test_volumes_have_the_name_that_they_are_exported_under() -> None:
    """With an alias, the volume's own name does not work; each importer has the rules that were made for it."""
    first = VolumeExport(to=_to("a"), alias="input", update_policy=UpdatePolicy.EPHEMERAL)
    second = VolumeExport(to=_to("b"))
    exporter = _exporter(volume=(first, second))
    a, b = Importer(name="a", digest=_DIGEST), Importer(name="b", digest=_DIGEST)
    assert find_exported_volume(exporter, "input", a) == ("v", first)
    assert find_exported_volume(exporter, "v", b) == ("v", second)
    for volume, importer in (("v", a), ("input", b), ("w", a)):
        with pytest.raises(DeniedError, match=f"does not export a volume {volume} to session {importer.name}"):
            find_exported_volume(exporter, volume, importer)


def test_volumes_are_exported_to_one_version() -> None:
    """A hash in the export is that of the importer's version in force."""
    exporter = _exporter(volume=(VolumeExport(to=_to("a", _OTHER)),))
    with pytest.raises(DeniedError):
        find_exported_volume(exporter, "v", Importer(name="a", digest=_DIGEST))


def test_the_importer_pins_versions_too() -> None:
    """An import of one version does not take another; the error does not tell which one is in force."""
    require_version(_exporter(), _to("exporter"))
    require_version(_exporter(), _to("exporter", _DIGEST))
    with pytest.raises(DeniedError, match=_OTHER) as caught:
        require_version(_exporter(), _to("exporter", _OTHER))
    assert _DIGEST not in str(caught.value)


def test_kinds_are_compared_where_the_importer_names_one() -> None:
    """The kind of an import is optional."""
    source = ImportedValue(session=_to("exporter"), secret="s")
    require_kind(SecretSpec(name="i", kind=None, source=source), SecretKind.X509)
    require_kind(SecretSpec(name="i", kind=SecretKind.X509, source=source), SecretKind.X509)
    with pytest.raises(DeniedError, match="i is of kind x509-ca, expected x509"):
        require_kind(SecretSpec(name="i", kind=SecretKind.X509, source=source), SecretKind.X509_CA)


_PROTECTED, _EPHEMERAL, _FREE = (
    UpdatePolicy.ROLLBACK_PROTECTED,
    UpdatePolicy.EPHEMERAL,
    UpdatePolicy.NO_ROLLBACK_PROTECTION,
)


@pytest.mark.parametrize(
    ("limit", "asked", "used"),
    [
        (_EPHEMERAL, _EPHEMERAL, _EPHEMERAL),
        (_EPHEMERAL, _PROTECTED, _EPHEMERAL),
        (_EPHEMERAL, _FREE, _EPHEMERAL),
        (_PROTECTED, _EPHEMERAL, _EPHEMERAL),
        (_PROTECTED, _PROTECTED, _PROTECTED),
        (_PROTECTED, _FREE, None),
        (_FREE, _EPHEMERAL, _EPHEMERAL),
        (_FREE, _PROTECTED, _PROTECTED),
        (_FREE, _FREE, _FREE),
    ],
)
def test_update_policies_of_imported_volumes(
    limit: UpdatePolicy, asked: UpdatePolicy, used: UpdatePolicy | None
) -> None:
    """An exporter that allows only ephemeral use decides alone; otherwise no more is taken than is allowed."""
    if used is not None:
        assert limit_update_policy(asked, limit) is used
        return
    with pytest.raises(DeniedError, match=r"no_rollback_protection.*allows ephemeral or rollback_protected"):
        limit_update_policy(asked, limit)
