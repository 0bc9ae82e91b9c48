"""Registries that lie, break off or lead elsewhere get no login, and give no image that is not one."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bannock.errors import (
    BannockError,
    DeniedError,
    EnvironmentFault,
    InputError,
    IntegrityError,
    NotFoundError,
    PeerError,
)
from bannock.images import media, registry
from bannock.images.credentials import Credentials
from bannock.images.digests import digest_of
from bannock.images.references import ImageName
from bannock.images.registry import Registries
from tests.integration.images.fake_registry import Request, Response, running_fake
from tests.unit.images.build import image, layer, tar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.images.blobs import Scratch
    from bannock.images.model import Image
    from tests.integration.images.fake_registry import FakeRegistry

_BASIC = "Basic " + base64.b64encode(b"user:pass:word").decode()


def _name(fake: FakeRegistry, what: str = "team/app:1") -> ImageName:
    return ImageName.parse(f"{fake.address}/{what}")


def _open(registries: Registries, fake: FakeRegistry, what: str = "team/app:1") -> list[bytes]:
    found = registries.open(_name(fake, what), reference="it")
    return [one.unpacked().read() for one in found.layers]


def _methods(fake: FakeRegistry) -> list[str]:
    return [request.method for request in fake.asked]


def test_pushed_and_pulled(app: Image, registries: Registries, reader: Registries, fake: FakeRegistry) -> None:
    """What was pushed is the same image when it is pulled; what is pushed again is not sent again."""
    written = registries.store(app, _name(fake))
    assert _open(reader, fake) == [one.unpacked().read() for one in app.layers]
    found = registries.open(_name(fake), reference="it")
    assert found.written().digest == written.digest
    assert found.written().id == app.written().id
    assert [one.packing for one in found.layers] == ["gzip", "gzip"]

    fake.asked.clear()
    assert registries.store(app, _name(fake)).digest == written.digest
    assert set(_methods(fake)) == {"HEAD", "PUT"}
    assert _methods(fake).count("PUT") == 1
    assert _open(reader, fake, f"team/app@{written.digest}")


def test_pulled_is_pushed_as_it_is(app: Image, registries: Registries, fake: FakeRegistry) -> None:
    """An image that is passed on keeps its digest, and its layers stay in the registry."""
    first = registries.store(app, _name(fake))
    fake.asked.clear()
    moved = registries.store(registries.open(_name(fake), reference="it"), _name(fake, "other/app:2"))
    assert moved.digest == first.digest
    assert not [request for request in fake.asked if "/blobs/" in request.path and request.method == "GET"][1:]


def test_mounted(app: Image, registries: Registries, fake: FakeRegistry) -> None:
    """A registry that has a layer under another name takes it from there."""
    registries.store(app, _name(fake))
    found = registries.open(_name(fake), reference="it")
    mounted: list[str] = []

    def mount(request: Request) -> Response | None:
        if request.method == "HEAD":
            return Response(404)
        if request.method == "POST" and "mount" in request.query:
            mounted.extend([*request.query["mount"], *request.query["from"]])
            return Response(201)
        return None

    fake.rule = mount
    registries.store(found, _name(fake, "other/app:2"))
    assert mounted == [found.layers[0].digest, "team/app", found.layers[1].digest, "team/app"]


def test_encrypted_layers_are_not_packed(scratch: Scratch, registries: Registries, fake: FakeRegistry) -> None:
    """What does not get smaller is pushed as it is, however the next layer is pushed."""
    noise = hashlib.shake_128(b"").digest(200_000)
    registries.store(image(layer(tar({"noise": noise}), scratch)), _name(fake))
    manifest = json.loads(fake.manifests["1"][1])
    assert [one["mediaType"] for one in manifest["layers"]] == [media.LAYER_TAR]


_LIES: dict[str, tuple[Callable[[FakeRegistry], None], type[BannockError]]] = {}


def _lie(name: str, family: type[BannockError]) -> Callable[[Callable[[FakeRegistry], None]], None]:
    def add(change: Callable[[FakeRegistry], None]) -> None:
        _LIES[name] = (change, family)

    return add


def _largest(fake: FakeRegistry) -> str:
    return max(fake.blobs, key=lambda digest: len(fake.blobs[digest]))


@_lie("other blob", IntegrityError)
def _(fake: FakeRegistry) -> None:
    data = fake.blobs[_largest(fake)]
    fake.blobs[_largest(fake)] = data[:-1] + bytes([data[-1] ^ 1])


@_lie("longer blob", IntegrityError)
def _(fake: FakeRegistry) -> None:
    fake.blobs[_largest(fake)] += b"x"


@_lie("shorter blob", IntegrityError)
def _(fake: FakeRegistry) -> None:
    digest = _largest(fake)
    fake.blobs[digest] = fake.blobs[digest][:-1]


@_lie("no blob", NotFoundError)
def _(fake: FakeRegistry) -> None:
    del fake.blobs[_largest(fake)]


@_lie("huge manifest", PeerError)
def _(fake: FakeRegistry) -> None:
    fake.manifests["1"] = (media.OCI_MANIFEST, b" " * ((4 << 20) + 1))


@_lie("manifest that is none", InputError)
def _(fake: FakeRegistry) -> None:
    fake.manifests["1"] = ("text/html", b"<html>")


@_lie("manifest of before 2016", InputError)
def _(fake: FakeRegistry) -> None:
    data = b'{"schemaVersion": 1, "fsLayers": []}'
    fake.manifests["1"] = ("application/vnd.docker.distribution.manifest.v1+prettyjws", data)


@_lie("manifest given as an index", InputError)
def _(fake: FakeRegistry) -> None:
    fake.manifests["1"] = (media.OCI_INDEX, fake.manifests["1"][1])


@_lie("connection that always breaks", EnvironmentFault)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda request: Response(200, b"12", length=999) if "/blobs/" in request.path else None


@_lie("redirection in a circle", PeerError)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda request: Response(307, headers={"Location": request.path})


@_lie("redirection to the clear", PeerError)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda _: Response(307, headers={"Location": "http://192.0.2.1/blob"})


@_lie("redirection to a file", PeerError)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda _: Response(307, headers={"Location": "file:///etc/passwd"})


@_lie("unknown kind of login", PeerError)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda _: Response(401, headers={"WWW-Authenticate": "Negotiate"})


@_lie("tokens given in the clear", PeerError)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda _: Response(401, headers={"WWW-Authenticate": 'Bearer realm="http://192.0.2.1/token"'})


@_lie("tokens that are none", PeerError)
def _(fake: FakeRegistry) -> None:
    def rule(request: Request) -> Response:
        if request.path == "/token":
            return Response(200, b"[1]")
        return Response(401, headers={"WWW-Authenticate": f'Bearer realm="http://{fake.address}/token"'})

    fake.rule = rule


@_lie("login that is not accepted", DeniedError)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda _: Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})


@_lie("not allowed", DeniedError)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda _: Response(403, b'{"errors": [{"code": "DENIED"}]}')


@_lie("busy", EnvironmentFault)
def _(fake: FakeRegistry) -> None:
    fake.rule = lambda _: Response(503)


@pytest.mark.parametrize(("lie", "family"), _LIES.values(), ids=_LIES)
def test_registry_that_lies(
    lie: Callable[[FakeRegistry], None],
    family: type[BannockError],
    app: Image,
    registries: Registries,
    reader: Registries,
    fake: FakeRegistry,
) -> None:
    """Whatever a registry answers, it is the image or an error that says whose fault it is."""
    registries.store(app, _name(fake))
    lie(fake)
    with pytest.raises(family):
        _open(reader, fake)


def test_other_manifest_than_the_digest(app: Image, registries: Registries, fake: FakeRegistry) -> None:
    """An image that is asked for by its digest is that one."""
    digest = registries.store(app, _name(fake)).digest
    registries.store(app.changed(config=app.config.changed(cmd=("evil",))), _name(fake, "team/app:2"))
    fake.manifests[digest] = fake.manifests["2"]
    with pytest.raises(IntegrityError, match="is not what it was"):
        _open(registries, fake, f"team/app@{digest}")


def test_broken_off_and_busy(app: Image, registries: Registries, reader: Registries, fake: FakeRegistry) -> None:
    """A connection that breaks in the middle, and a registry that is busy for a moment, are asked again."""
    registries.store(app, _name(fake))
    trouble = [Response(429), Response(200, b"12", length=999), Response(502)]
    fake.rule = lambda request: trouble.pop() if trouble and "/blobs/" in request.path else None
    assert _open(reader, fake)
    assert not trouble


def test_upload_that_breaks(app: Image, registries: Registries, reader: Registries, fake: FakeRegistry) -> None:
    """An upload that breaks in the middle begins anew, at a place of its own."""
    trouble = [Response(503), Response(200, b"", length=9)]
    fake.rule = lambda request: trouble.pop() if trouble and request.method == "PUT" else None
    registries.store(app, _name(fake))
    assert not trouble
    assert _open(reader, fake)
    assert len({request.path for request in fake.asked if request.method == "PUT"}) > 1


def test_upload_that_is_not_wanted(app: Image, registries: Registries, fake: FakeRegistry) -> None:
    """A registry that takes no blob of such a size is understood."""
    fake.rule = lambda request: Response(413) if request.method == "PUT" else None
    with pytest.raises(InputError, match="answered 413 to PUT"):
        registries.store(app, _name(fake))


def test_login_goes_to_the_registry_alone(
    app: Image, registries: Registries, reader: Registries, fake: FakeRegistry, other: FakeRegistry
) -> None:
    """A redirection leads to the blob and takes no login along (CVE-2020-15157)."""
    registries.store(app, _name(fake))
    other.blobs = dict(fake.blobs)
    fake.asked.clear()

    def rule(request: Request) -> Response | None:
        if request.headers.get("Authorization") != _BASIC:
            return Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if "/blobs/" in request.path:
            return Response(307, headers={"Location": f"http://{other.address}{request.path}"})
        return None

    fake.rule = rule
    assert _open(reader, fake)
    assert _BASIC in fake.logins()
    assert other.asked
    assert set(other.logins()) == {None}


def test_uploads_that_lead_elsewhere(
    app: Image, registries: Registries, fake: FakeRegistry, other: FakeRegistry
) -> None:
    """A registry may have uploads sent elsewhere, yet not the login."""

    def rule(request: Request) -> Response | None:
        if request.headers.get("Authorization") != _BASIC:
            return Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if request.method == "POST":
            return Response(202, headers={"Location": f"http://{other.address}/v2/x/blobs/uploads/1"})
        return None

    fake.rule = rule
    registries.store(app, _name(fake))
    assert set(other.logins()) == {None}
    assert set(other.blobs) >= {digest_of(app.written().config)}


@pytest.mark.parametrize("kept", ["auth", "identitytoken"])
def test_tokens(
    kept: str, app: Image, registries: Registries, fake: FakeRegistry, other: FakeRegistry, tmp_path: Path
) -> None:
    """A token is asked for with the login, for the repository and what is done in it, and then used."""
    if kept == "identitytoken":
        login = {"auths": {f"https://{fake.address}/": {"identitytoken": "refresh"}}}
        (tmp_path / "config.json").write_text(json.dumps(login))

    def rule(request: Request) -> Response | None:
        if request.headers.get("Authorization") != "Bearer tok":
            challenge = f'Bearer realm="http://{other.address}/token",service="reg",scope="repository:evil:*"'
            return Response(401, headers={"WWW-Authenticate": challenge})
        return None

    fake.rule = rule
    other.rule = lambda _: Response(200, b'{"access_token": "tok"}')
    registries.store(app, _name(fake))
    _open(registries, fake)

    (push, pull) = other.asked
    if kept == "auth":
        assert push.headers["Authorization"] == _BASIC
        assert push.query == {"service": ["reg"], "scope": ["repository:team/app:pull,push"]}
        assert pull.query["scope"] == ["repository:team/app:pull"]
    else:
        assert push.method == "POST"
        assert b"refresh_token=refresh" in push.body
    assert _BASIC not in fake.logins()


def test_no_login_for_others(app: Image, registries: Registries, other: FakeRegistry) -> None:
    """The login of one registry is not shown to another."""
    registries.store(app, _name(other))
    assert set(other.logins()) == {None}


def test_what_is_told_of_an_error(registries: Registries, fake: FakeRegistry) -> None:
    """What the registry says is repeated, the login is not."""
    fake.rule = lambda _: Response(403, b'{"errors": [{"code": "DENIED", "message": "quota"}]}')
    with pytest.raises(DeniedError) as caught:
        _open(registries, fake)
    assert caught.value.reasons == ("DENIED: quota",)
    assert caught.value.hint == f"docker login {fake.address}"
    assert "pass:word" not in repr(caught.value) + str(caught.value.__cause__)


def test_manifest_that_becomes_another(app: Image, registries: Registries, fake: FakeRegistry) -> None:
    """A registry that has another image afterwards than it was given is told."""

    def rule(request: Request) -> Response | None:
        if request.method == "PUT" and "/manifests/" in request.path:
            return Response(201, headers={"Docker-Content-Digest": digest_of(b"another")})
        return None

    fake.rule = rule
    with pytest.raises(PeerError, match="it was given"):
        registries.store(app, _name(fake))


def _tls(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "registry.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "registry.crt", directory / "key")
    return context


def test_certificates(app: Image, scratch: Scratch, tmp_path: Path) -> None:
    """A certificate that nobody vouches for is refused, unless Docker is told of who does."""
    credentials = Credentials(tmp_path / "none")
    with running_fake(_tls(tmp_path)) as fake:
        strict = Registries(credentials, scratch=scratch, memory=tmp_path / "memory", authorities=tmp_path)
        with pytest.raises(PeerError, match="does not hold"):
            _open(strict, fake)
        assert not fake.asked
        place = tmp_path / "certs.d" / fake.address
        place.mkdir(parents=True)
        (tmp_path / "registry.crt").rename(place / "ca.crt")
        told = Registries(credentials, scratch=scratch, memory=tmp_path / "memory", authorities=tmp_path / "certs.d")
        told.store(app, _name(fake))
        assert _open(told, fake)
        told.close()


def test_proxy(registries: Registries, other: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry elsewhere is reached by the proxy of the environment, unless that makes an exception of it."""
    name = ImageName.parse("registry.invalid/app:1")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{other.address}")
    with pytest.raises(EnvironmentFault, match="501"):
        registries.open(name, reference="it")
    monkeypatch.setenv("NO_PROXY", "registry.invalid")
    with pytest.raises(EnvironmentFault, match=r"cannot reach registry\.invalid"):
        registries.open(name, reference="it")


def test_packed_once(app: Image, registries: Registries, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that was packed before, and is in the registry, is neither packed nor sent again."""
    registries.store(app, _name(fake))
    fake.asked.clear()
    monkeypatch.setattr(registry, "gzipped", lambda *_: pytest.fail("packed again"))
    registries.store(app, _name(fake, "team/app:2"))
    assert "POST" not in _methods(fake)
