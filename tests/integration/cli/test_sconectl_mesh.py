"""``sconectl apply`` and ``diff`` of a mesh: images from a registry, policies at a real CAS, the chart beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bannock.cli import sconectl_apply, sconectl_diff
from bannock.cli.mesh_cas import find_cas
from bannock.cli.state import state_file
from bannock.errors import (
    ConflictError,
    DeniedError,
    EnvironmentFault,
    InputError,
    IntegrityError,
    ManifestSyntaxError,
)
from bannock.images.blobs import Scratch
from bannock.images.originals import measured_program
from bannock.images.places import Places
from bannock.images.tree import Tree
from bannock.mesh.facts import LABEL
from bannock.mesh.manifests import parse_mesh
from bannock.policy.parse import parse_session
from bannock.values import KeyHash, Measurement
from tests.integration.cas.enclaves import enclave
from tests.integration.images.fake_registry import running_fake
from tests.unit.images.sconify.native import PROGRAM, native, program
from tests.unit.mesh.meshed import facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.cas import EmbeddedCas
    from bannock.remote.cas_api import CasApi
    from tests.integration.cli.conftest import Scone

_HELM = shutil.which("helm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
_ATTEST = ("-GCS", "--only_for_testing-debug", "--only_for_testing-ignore-signer", "--only_for_testing-trust-any")
_SERVICE = "my/app/pythonservice"
_MANIFEST = """\
apiVersion: scone/5.8
kind: mesh
cas:
  - cas_url: cas.scone-system
    cas_key: {key}
    mode: {mode}
    tolerance: "--software-hardening-needed -C"
policy:
  namespace: my
env:
  - service: global
    env:
      - {{name: API_USER, value: {user}}}
services:
  - name: pythonservice
    image: {image}
    image_secrets: secrets.yaml
"""
_SECRETS = """\
- name: password
  kind: ascii
  size: {size}
  export_public: "true"
- name: known
  kind: ascii
  value: canary-4471
"""


@dataclass(frozen=True, kw_only=True)
class _World:
    directory: Path
    registry: str
    cas: EmbeddedCas
    capsys: pytest.CaptureFixture[str]

    @property
    def target(self) -> Path:
        return self.directory / "target"

    def image(self, version: bytes = b"", name: str = "hello:1", **label: Any) -> str:
        """Put the image of a version of the service into the registry, and return what its program is."""
        with Scratch(self.directory / "scratch") as scratch, Places.prepared(cache=self.directory / "made") as places:
            image = native(scratch, {"usr/bin/serve": program() + version})
            measured = str(measured_program(PROGRAM, Tree.of(image), dict(image.config.env)).root)
            told = facts(**{"program": PROGRAM, "mrenclave": measured, "command": (PROGRAM,), **label})
            config = image.config.changed(labels={LABEL: told.to_label()})
            places.store(image.changed(config=config), f"docker://{self.registry}/{name}")
        return measured

    def manifest(self, *, mode: str = "Upload", user: str = "myself", size: int = 10, key: str | None = None) -> None:
        """Write the manifest of the mesh, and its secrets."""
        text = _MANIFEST.format(
            key=key or self.cas.key_hash, mode=mode, user=user, image=f"{self.registry}/hello:1"
        )  # fmt: skip
        (self.directory / "mesh.yaml").write_text(text)
        (self.directory / "secrets.yaml").write_text(_SECRETS.format(size=size))

    def apply(self, *options: str) -> str:
        """Apply the mesh, and return what it tells."""
        self.capsys.readouterr()
        assert sconectl_apply.main(["-f", "mesh.yaml", "--release", "app", *options]) == 0
        return self.capsys.readouterr().err

    def diff(self, *options: str) -> str:
        """Return what an apply would change."""
        self.capsys.readouterr()
        assert sconectl_diff.main(["-f", "mesh.yaml", "--release", "app", *options]) == 0
        return self.capsys.readouterr().out

    def api(self) -> CasApi:
        """Ask the CAS as the user of the mesh."""
        return find_cas(parse_mesh((self.directory / "mesh.yaml").read_text()).cas_for("cas")).open()

    def accepted(self) -> list[str]:
        """Return the measurements that the service's policy accepts at the CAS."""
        with self.api() as api:
            document: Any = parse_session(api.read_session(_SERVICE).text, variables=None).document
        found: list[str] = document["services"][0]["attestation"][0]["mrenclave"]
        return found

    def password(self) -> Any:
        """Return the password that the CAS made."""
        with self.api() as api:
            return api.request_json("GET", "/v1/values/session=my/app")

    def chart(self) -> Any:
        """Return the values of the chart."""
        return yaml.safe_load((self.target / "helm/values.yaml").read_text())


@pytest.fixture
def world(
    scone: Scone, cas: EmbeddedCas, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[_World]:
    """A registry, a CAS that was attested, and no container engine."""
    scone.done("cas", "attest", f"localhost:{cas.client_address.port}", *_ATTEST)
    directory = tmp_path / "mesh"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SCONECTL_REPO", raising=False)
    with running_fake() as registry:
        yield _World(directory=directory, registry=registry.address, cas=cas, capsys=capsys)


def test_policies_and_chart(world: _World) -> None:
    """They are uploaded once; the chart names session, image and CAS; what is written is its user's alone."""
    measured = world.image()
    world.manifest()
    told = world.apply()
    assert [line for line in told.splitlines() if line.startswith("created")] == [
        "created my", "created my/app", f"created {_SERVICE}",
    ]  # fmt: skip
    assert world.accepted() == [measured]
    values = world.chart()
    assert values["services"]["pythonservice"]["configId"] == f"{_SERVICE}/serve"
    assert values["services"]["pythonservice"]["image"] == f"{world.registry}/hello:1"
    assert values["cas"] == {"address": "cas.scone-system", "key": str(world.cas.key_hash)}
    for path in (world.target, *world.target.glob("policies"), *world.target.glob("policies/*")):
        assert path.stat().st_mode & 0o077 == 0
    assert "canary-4471" not in "".join(path.read_text() for path in (world.target / "helm").rglob("*.*"))
    again = world.apply()
    assert f"unchanged {_SERVICE}" in again
    assert "updated" not in again


def test_an_update_takes_the_old_version_away_unless_it_rolls(world: _World) -> None:
    """Both are accepted while it rolls, and for as long as it is the same version; then the new one alone."""
    world.manifest()
    first = world.image()
    world.apply()
    second = world.image(b"2")
    world.apply("--rolling")
    assert world.accepted() == [second, first]
    world.apply("--rolling")
    assert world.accepted() == [second, first]
    world.apply()
    assert world.accepted() == [second]
    third = world.image(b"3")
    world.apply()
    assert world.accepted() == [third]


def test_a_generated_password_is_kept_until_its_description_changes(world: _World) -> None:
    """An update of anything else leaves it as it is."""
    world.image()
    world.manifest()
    world.apply()
    made = world.password()
    world.image(b"2")
    world.manifest(user="somebody")
    world.apply()
    assert world.password() == made
    world.manifest(user="somebody", size=11)
    world.apply()
    assert world.password() != made


def test_what_enclaves_get(world: _World) -> None:
    """Of the two versions, those that the policy accepts get the variables, with the password that the CAS made."""

    def started(measurement: str) -> Mapping[str, str]:
        address = world.cas.enclave_address
        with enclave(address, world.cas.key_hash, Measurement.from_hex(measurement)) as running:
            return running.attest(session=_SERVICE, service="serve").environment

    world.manifest()
    first = world.image()
    world.apply("--mode", "debug")
    environment = started(first)
    assert environment["API_USER"] == "myself"
    assert len(environment["API_PASSWORD"]) == 10
    second = world.image(b"2")
    with pytest.raises(DeniedError):
        started(second)
    world.apply("--mode", "debug", "--rolling")
    assert environment == started(first) == started(second)
    world.apply("--mode", "debug")
    assert started(second) == environment
    with pytest.raises(DeniedError):
        started(first)
    world.apply()
    with pytest.raises(DeniedError):
        started(second)


def test_what_would_change_is_told_and_not_done(world: _World) -> None:
    """Policies as the CAS has them, and the chart; no value of a secret is shown."""
    first = world.image()
    world.manifest()
    assert f"+ {_SERVICE}: a new session" in world.diff()
    world.apply()
    assert world.diff() == "nothing changes\n"
    second = world.image(b"2")
    world.manifest(user="other", size=11)
    secrets = world.directory / "secrets.yaml"
    secrets.write_text(secrets.read_text().replace("canary-4471", "canary-4472"))
    told = world.diff()
    assert f'~ services[0].attestation[0].mrenclave[0]: "{first}" -> "{second}"' in told
    assert '~ services[0].environment.API_USER: "myself" -> "other"' in told
    assert '~ secrets[password].size: "10" -> "11"' in told
    assert "~ secrets[known].value: (not shown) -> (not shown)" in told
    assert "canary" not in told
    assert world.accepted() == [first]
    world.apply("--rolling")
    assert world.diff("--rolling") == "nothing changes\n"


def test_encrypted_policies_are_for_somebody_else_to_upload(world: _World, tmp_path: Path) -> None:
    """In the chart, in the order that the CAS takes them; the next version names the one before."""
    first = world.image()
    world.manifest(mode="EncryptedManifest")
    world.apply()
    documents = world.chart()["policies"]["documents"]
    assert list(documents) == ["001.new", "002.new", "003.new"]
    assert (world.chart()["policies"]["cas"], world.chart()["policies"]["tolerance"]) == ("cas.scone-system", "-S -C")
    assert "canary-4471" not in (world.target / "helm/values.yaml").read_text()
    courier = state_file({"SCONE_CLI_CONFIG": str(tmp_path / "other/config.json")})
    with pytest.MonkeyPatch.context() as patch, world.api() as owner:
        patch.setattr(owner, "_identity", courier.identity())
        for document in documents.values():
            owner.post_session(document, digest=None, name=None)
        with pytest.raises(ConflictError):
            owner.post_session(documents["003.new"], digest=None, name=None)
        world.apply()
        assert list(world.chart()["policies"]["documents"]) == ["001.new", "002.new", "003.new"]
        assert world.diff() == "nothing changes\n"
        second = world.image(b"2")
        world.apply("--rolling")
        documents = world.chart()["policies"]["documents"]
        assert list(documents) == ["001.new", "002.new", "003.next"]
        for _ in range(2):
            # Once more, as each upgrade of the chart does.
            owner.post_session(documents["003.next"], digest=None, name=None)
    policy = yaml.safe_load((world.target / "policies/003-my.app.pythonservice.yaml").read_text())
    assert policy["services"][0]["attestation"][0]["mrenclave"] == [second, first]


@pytest.mark.skipif(_HELM is None, reason="helm is not installed")
def test_the_job_of_the_chart_uploads_them(world: _World, tmp_path: Path) -> None:
    """Its script, as helm renders it, with paths and CAS of this machine: at an installation, and at an upgrade."""

    def installed() -> subprocess.CompletedProcess[str]:
        rendered = subprocess.check_output([str(_HELM), "template", "app", str(world.target / "helm")], text=True)
        jobs = [each for each in yaml.safe_load_all(rendered) if each and each["kind"] == "Job"]
        policies = tmp_path / "policies"
        shutil.rmtree(policies, ignore_errors=True)
        policies.mkdir()
        for name, text in world.chart()["policies"]["documents"].items():
            (policies / name).write_text(text)
        (container,) = jobs[0]["spec"]["template"]["spec"]["containers"]
        script = container["args"][0].replace("/opt/bannock/bin/scone", str(Path(sys.executable).parent / "scone"))
        script = script.replace("/policies", str(policies))
        variables = {"CAS": f"localhost:{world.cas.client_address.port}", "TOLERANCE": ""}
        config = str(tmp_path / "job/cas.json")
        environment = {**os.environ, **variables, "SCONE_CLI_CONFIG": config}
        command = [*container["command"], script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    first = world.image()
    world.manifest(mode="EncryptedManifest")
    world.apply("--mode", "debug")
    done = installed()
    assert done.returncode == 0, done.stderr
    second = world.image(b"2")
    world.apply("--mode", "debug")
    done = installed()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("it is there already") == 2
    address = world.cas.enclave_address
    with enclave(address, world.cas.key_hash, Measurement.from_hex(second)) as running:
        assert running.attest(session=_SERVICE, service="serve").environment["API_USER"] == "myself"
    with enclave(address, world.cas.key_hash, Measurement.from_hex(first)) as running, pytest.raises(DeniedError):
        running.attest(session=_SERVICE, service="serve")


def test_a_dry_run_asks_nobody(world: _World) -> None:
    """Policies and chart are written, and the CAS has none of them."""
    world.image()
    world.manifest()
    world.apply("--dry-run")
    assert (world.target / "policies/003-my.app.pythonservice.yaml").is_file()
    with world.api() as api, pytest.raises(DeniedError):
        api.read_session(_SERVICE)


_OLDER = """\
apiVersion: scone/5.8
kind: mesh
cas:
  - name: cas   # the one of the services
    alias: ["image", "security", "access", "attestation"]
    cas_url: cas.example.com
    tolerance: "--only_for_testing-trust-any --only_for_testing-debug  --only_for_testing-ignore-signer -C -G -S"
policy:
  namespace: myPythonApp
env:
  - name: API_USER
    value: myself
  - name: imagePullSecrets
    value: SconeApps
  - name: APP_SERVICE_PORT
    value: 443
services:
  - name: pythonapp
    image: {image}
"""


def test_meshes_in_the_form_of_the_first_tutorials(world: _World) -> None:
    """Values without a service are for all; all names of the CAS are one; its attestation is as lenient as it says."""
    world.image()
    (world.directory / "mesh.yaml").write_text(_OLDER.format(image=f"{world.registry}/hello:1"))
    world.apply("--dry-run")
    values = world.chart()
    described = values["services"]["pythonapp"]
    assert (described["ports"], described["configId"]) == ([443], "myPythonApp/app/pythonapp/serve")
    assert (values["imagePullSecrets"], values["cas"]["address"]) == ([{"name": "SconeApps"}], "cas.example.com")
    policy = yaml.safe_load((world.target / "policies/003-myPythonApp.app.pythonapp.yaml").read_text())
    assert policy["services"][0]["environment"]["API_USER"] == "myself"


def test_an_image_that_is_not_what_it_says_is_refused(world: _World) -> None:
    """By the measurement of what is in it; and so is an image that is no service."""
    world.manifest()
    world.image(mrenclave="0" * 64)
    with pytest.raises(IntegrityError, match=f"says that its program is {'0' * 64}, and it is"):
        world.apply()


def _more(world: _World, service: str = "", mesh: str = "") -> None:
    """Add to the manifest of the mesh, and to its service."""
    path = world.directory / "mesh.yaml"
    path.write_text(f"{path.read_text()}{service}{mesh}")


def test_images_of_a_mesh_go_where_it_wants_them(world: _World) -> None:
    """Copied, or in one layer: the chart names them there, by their digests on request, and they measure the same."""
    measured = world.image()
    world.manifest()
    _more(world, mesh=f"repo: {{destination: '{world.registry}/mesh', squash: true}}\n")
    assert "repo" not in world.diff()
    world.apply("--digests")
    described = world.chart()["services"]["pythonservice"]
    assert described["image"] == f"{world.registry}/mesh/hello:1"
    with Places.prepared(cache=world.directory / "pulled") as places:
        image = places.open(f"docker://{described['image']}@{described['digest']}")
        assert len(image.layers) == 1
        tree = Tree.of(image)
        assert str(measured_program(PROGRAM, tree, dict(image.config.env)).root) == measured
        before = Tree.of(places.open(f"docker://{world.registry}/hello:1"))
        found, expected = (
            {each.path: (each.entry.kind, each.entry.mode, each.entry.size, each.entry.link) for each in side.walk()}
            for side in (tree, before)
        )
        assert found == expected
        assert tree.read("/app/same.py") == tree.read("/app/server.py")
    with pytest.raises(InputError, match="its digest is not known"):
        world.apply("--digests", "--dry-run")


def test_a_chart_names_what_was_measured(world: _World) -> None:
    """By the digest that the registry has it under; without the option, by its tag alone."""
    world.image()
    world.manifest()
    world.apply()
    assert world.chart()["services"]["pythonservice"]["digest"] == ""
    world.apply("--digests")
    digest = world.chart()["services"]["pythonservice"]["digest"]
    with Places.prepared(cache=world.directory / "pulled") as places:
        assert places.open(f"docker://{world.registry}/hello@{digest}").config.labels[LABEL]


def test_what_a_mesh_gives_for_a_service(world: _World) -> None:
    """Variables and policy in place of those of the image; further policies, those of the mode alone."""
    world.image()
    world.manifest()
    files = {
        "variables.yaml": "local:\n  - {name: MINE, value: '{{namespace}}'}\nglobal:\n  - name: API_USER\n",
        "policy.yaml": "services:\n  - environment: {API_USER: somebody}\n",
        "extra.yaml": 'name: "{{namespace}}/extra"\nversion: "0.3.11"\n',
        "debug.yaml": "name: my/debug\n",
    }
    for name, text in files.items():
        (world.directory / name).write_text(text)
    _more(
        world,
        "    env: variables.yaml\n    image_policy: policy.yaml\n",
        "extra_policies:\n  - {name: extra.yaml, mode: production}\n  - {name: debug.yaml, mode: debug}\n",
    )
    told = world.apply()
    assert "created my/extra" in told
    assert "my/debug" not in told
    with world.api() as api:
        document: Any = parse_session(api.read_session(_SERVICE).text, variables=None).document
    environment = document["services"][0]["environment"]
    assert (environment["MINE"], environment["API_USER"]) == ("my", "somebody")
    assert "API_PASSWORD" not in environment
    (world.directory / "variables.yaml").write_text("locals: []\n")
    with pytest.raises(ManifestSyntaxError, match="file of variables"):
        world.apply()


def test_policies_whose_parts_others_have(world: _World) -> None:
    """Who may read them, and what attests: a session of somebody else decides, also after it is changed."""
    measured = world.image()
    world.manifest()
    path = world.directory / "mesh.yaml"
    names = "  attestation_policy_name: central\n  access_policy_name: central\n"
    path.write_text(path.read_text().replace("  namespace: my\n", f"  namespace: my\n{names}"))
    key = state_file(os.environ).identity().key_hash
    rules: list[dict[str, Any]] = [
        {"name": "attestation", "kind": "config-fragment", "value": {"tolerate": ["simulation", "debug-mode"]}},
        {"name": "access_read", "kind": "config-fragment", "value": [str(key)]},
        {"name": "access_update", "kind": "config-fragment", "value": ["CREATOR"]},
    ]
    central = {
        "name": "central",
        "version": "0.3.11",
        "secrets": [{**each, "export": [{"namespace": "my"}]} for each in rules],
    }
    with world.api() as api:
        first = api.post_session(yaml.safe_dump(central), digest=None, name=None)

    def started() -> str:
        with enclave(world.cas.enclave_address, world.cas.key_hash, Measurement.from_hex(measured)) as running:
            return running.attest(session=_SERVICE, service="serve").environment["API_USER"]

    world.apply()
    assert started() == "myself"
    assert world.accepted() == [measured]
    world.manifest(user="other")
    path.write_text(path.read_text().replace("  namespace: my\n", f"  namespace: my\n{names}"))
    world.apply()
    assert started() == "other"
    rules[0]["value"] = {"tolerate": ["outdated-tcb"]}
    central["secrets"] = [{**each, "export": [{"namespace": "my"}]} for each in rules]
    with world.api() as api:
        api.post_session(yaml.safe_dump({**central, "predecessor": first}), digest=None, name=None)
    with pytest.raises(DeniedError):
        started()


def test_two_services_share_and_one_goes(world: _World) -> None:
    """A generated secret reaches who imports it; by the policy of a service that is removed, nobody starts."""
    other = world.image(
        b"other", "reader:2", local={"THEIRS": "$$SCONE::password$$"}, global_={}, secrets=(),
        imports=("password",),
    )  # fmt: skip
    measured = world.image()
    world.manifest()
    alone = (world.directory / "mesh.yaml").read_text()
    _more(world, f"  - {{name: reader, image: '{world.registry}/reader:2'}}\n")

    def started(measurement: str, session: str) -> Mapping[str, str]:
        with enclave(world.cas.enclave_address, world.cas.key_hash, Measurement.from_hex(measurement)) as running:
            return running.attest(session=session, service="serve").environment

    world.apply("--mode", "debug")
    password = started(measured, _SERVICE)["API_PASSWORD"]
    assert started(other, "my/app/reader")["THEIRS"] == password
    (world.directory / "mesh.yaml").write_text(alone)
    assert "- my/app/reader: the mesh has no such service any more" in world.diff("--mode", "debug")
    assert "made void my/app/reader" in world.apply("--mode", "debug")
    with pytest.raises(DeniedError):
        started(other, "my/app/reader")
    assert started(measured, _SERVICE)["API_PASSWORD"] == password
    assert world.diff("--mode", "debug") == "nothing changes\n"
    assert "reader" not in world.apply("--mode", "debug")
    _more(world, f"  - {{name: reader, image: '{world.registry}/reader:2'}}\n")
    world.apply("--mode", "debug")
    assert started(other, "my/app/reader")["THEIRS"] == password


def test_what_cannot_be(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another CAS than the one that is known by that name, signatures of images, and helm that is not there."""
    world.image()
    world.manifest()
    path = world.directory / "mesh.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("cas.scone-system", "localhost").replace(str(world.cas.key_hash), str(KeyHash(bytes(32))))
    )
    with pytest.raises(DeniedError, match="the one that was attested as localhost has key"):
        world.apply()
    path.write_text(text + "repo: {destination: r.example.com/mesh, key_file: cosign.key}\n")
    with pytest.raises(InputError, match=r"repo.key_file: images are not signed"):
        world.apply()
    path.write_text(text)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(EnvironmentFault, match="needs helm"):
        world.apply("--dry-run", "--output", "yaml")
