"""The tutorial on meshes: built, pushed, deployed, run; then each sentence of "Verify the desired protection level".

What stands for a cluster is `bannock k8s`, with real helm behind it; registry, images, CAS and LAS are real.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.charts import HELM_PATH, needs_helm
from tests.documentation import Reader, page, tools
from tests.e2e.mesh_tutorial import CANARY, GREETING, VERSION, Hello, Log, base_with_pip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers import BaseImages, Engine, Registry
    from tests.curated_images import CuratedImages

_CHARTS = Path(__file__).parents[2] / "charts"
_COMMANDS = ("bannock", "scone", "sconectl", "kubectl-provision")
_CAS = "helm install cas {charts}/cas -n $CAS_NAMESPACE --set image={image} --set useSGXDevPlugin=none"
_ADDRESS = "kubectl get pods -n $CAS_NAMESPACE -o jsonpath='{.items[0].status.podIP}'"
_REFUSED = "Unexpected enclave measurement (MRENCLAVE, "

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    needs_helm,
    pytest.mark.skipif(shutil.which("envsubst") is None, reason="envsubst is not installed"),
]


@pytest.fixture(scope="module")
def hello(
    engine: Engine,
    registry: Registry,
    bases: BaseImages,
    curated: CuratedImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Hello]:
    """Give a reader who has gone through the tutorial up to its log."""
    place = tmp_path_factory.mktemp("mesh-tutorial")
    images = f"{registry.address}/{engine.prefix}"
    curated.publish(base_with_pip(engine, bases, place), f"{images}/sconectl", VERSION, "python", "sconecli")
    software = engine.in_container(curated.of("cas"), options=("-e", "SCONE_HASH=1")).stdout.strip()
    path = tools(place / "tools", _COMMANDS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    node = engine.output("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    variables = {
        **engine.environment,
        "PATH": f"{path}:{HELM_PATH}",
        "HOME": str(place),
        "BANNOCK_HOME": str(place / "state"),
        "LANG": "C.UTF-8",
        "VERSION": VERSION,
        "SCONECTL_REPO": f"{images}/sconectl",
        "APP_IMAGE_REPO": images,
        "TAG": "1",
        "RELEASE": "pythonapp",
        "APP_NAMESPACE": "pythonapp-1-2",
        "CAS_NAMESPACE": "scone-system",
        "CAS_URL": "cas.scone-system",
        "UPLOAD_MODE": "EncryptedManifest",
        "USER_NAME": "myself",
        "LAS": f"{node}:{port}",
        # Without hardware.
        "SCONE_MODE": "sim",
        "SGX_TOLERATIONS": f"--only_for_testing-debug --mrenclave {software}",
    }
    reader = Hello(engine, place / "hello", variables)
    reader.write()
    las = subprocess.Popen(
        [
            str(place / "tools" / "bannock"),
            "las",
            "serve",
            "--listen",
            f"0.0.0.0:{port}",
            "--conf",
            str(place / "las"),
        ],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        reader = reader.without_cluster()
        reader.shell(_CAS.format(charts=_CHARTS, image=curated.of("cas")))
        address = reader.shell(_ADDRESS).stdout
        reader = replace(reader, variables={**reader.variables, "BANNOCK_CAS": f"{address}:8081"})
        reader.shell("source run.sh")
        reader.log()
        yield reader
    finally:
        reader.shell("bannock k8s stop --all --volumes --grace 0", code=None)
        las.terminate()
        las.wait(timeout=30)


def test_the_service_greets(hello: Hello) -> None:
    """It has what mesh and service say, text and signs as they were written, and a password that the CAS made."""
    log = hello.log()
    assert log.users == {"myself"}
    assert len(log.passwords) == 1
    assert log.is_told(CANARY)
    assert "signs !#what!$# b'  of the mesh'" in log.text
    listed = hello.shell("kubectl get pods").stdout
    assert re.search(r"\bpythonapp-greeter\S* .*Running", listed, re.MULTILINE), listed
    # It listens nowhere, though its mesh names a port.
    ready = f"kubectl get {hello.pods()[0]} -o jsonpath='{{.status.containerStatuses[0].ready}}'"
    assert hello.shell(ready).stdout == "true"


def test_policies_are_uploaded_by_the_chart_alone(hello: Hello) -> None:
    """What the chart brings along can be read by the CAS, and by nobody else."""
    values = yaml.safe_load((hello.directory / "target" / "helm" / "values.yaml").read_text())
    documents = values["policies"]["documents"]
    assert sorted(documents) == ["001.new", "002.new", "003.new"]
    assert not any(CANARY in text or "greeter" in text for text in documents.values())
    told = hello.shell("kubectl logs job/pythonapp-policies")
    assert re.fullmatch(r"([0-9a-f]{64}\n){3}", told.stdout), told


# Confidentiality


def test_the_container_shows_no_password(hello: Hello) -> None:
    """``echo $API_PASSWORD``, ``env``, ``grep -r`` through ``/``, and what ``/proc`` has of all processes."""
    log = hello.log()
    assert hello.execute('echo "[$API_PASSWORD][$API_USER][$OTHER_PASSWORD]"').stdout == "[][][]\n"
    told = hello.execute("env").stdout
    assert "SCONE_CONFIG_ID=" in told
    assert "API_" not in told
    found = hello.execute(f"grep -rlaF '{CANARY}' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev").stdout
    assert found == ""
    # The names are in the program, which is no secret; the values are nowhere.
    assert "/python/greet.py" in hello.execute("grep -rlF API_PASSWORD /python /opt /etc /tmp /root").stdout
    script = "for p in /proc/[0-9]*; do for f in environ cmdline maps status auxv mounts; do cat $p/$f; done; done"
    seen = hello.execute(f"{script}; ls -l /proc/[0-9]*/fd /proc/[0-9]*/cwd /proc/[0-9]*/root; cat /proc/1/environ")
    assert "Permission denied" in seen.stderr
    assert len(seen.stdout) > 1000
    assert not log.gives_away(seen.stdout.encode())
    assert "API_PASSWORD" not in seen.stdout


def test_files_of_the_owner_show_no_password_that_the_cas_made(hello: Hello) -> None:
    """``grep -r API_PASSWORD ./target``: names, and no value; values that the owner wrote are the owner's alone."""
    log = hello.log()
    for path in filter(Path.is_file, (hello.directory / "target").rglob("*")):
        content = path.read_bytes()
        assert not log.gives_away(content.replace(CANARY.encode(), b"")), path
        if CANARY.encode() in content:
            assert path.stat().st_mode & 0o77 == 0, path


def test_registry_and_engine_show_no_password(hello: Hello, registry: Registry) -> None:
    """Neither blobs of the image nor what the engine tells of image, container and pod has one."""
    log, engine = hello.log(), hello.engine
    for image in ("greeter", "greeter-native"):
        told = engine.output("image", "inspect", f"{hello.variables['APP_IMAGE_REPO']}/{image}:1")
        assert not log.gives_away(told.encode())
    containers = engine.output("ps", "-q", "--filter", f"ancestor={hello.variables['APP_IMAGE_REPO']}/greeter:1")
    told = engine.output("inspect", *containers.split())
    assert "SCONE_CONFIG_ID" in told
    assert not log.gives_away(told.encode())
    pod = hello.shell("kubectl get pods -o json").stdout
    assert "pythonapp-greeter" in pod
    assert not log.gives_away(pod.encode())
    # The engine keeps what containers print; a log that tells hashes gives nothing away.
    assert not log.gives_away(log.text.encode())
    place = registry.directory / "docker" / "registry" / "v2"
    layers = [*(place / "repositories" / engine.prefix / "greeter" / "_layers" / "sha256").iterdir()]
    assert len(layers) > 2
    for layer in layers:
        blob = place / "blobs" / "sha256" / layer.name[:2] / layer.name / "data"
        with gzip.open(blob) if blob.read_bytes()[:2] == b"\x1f\x8b" else blob.open("rb") as content:
            data = content.read()
        assert CANARY.encode() not in data
        assert b"#of-the-service" not in data


def test_user_and_program_are_no_secrets(hello: Hello) -> None:
    """The user is not seen in the container, and stands in the mesh; the program can be read where it runs."""
    assert hello.execute("echo [$API_USER]").stdout == "[]\n"
    assert "value: myself" in (hello.directory / "mesh.yaml").read_text()
    assert hello.execute(f"grep -rlF '{GREETING}' /opt/bannock/image").stdout == "/opt/bannock/image/libown-fs.so\n"


# Integrity


def test_variables_of_a_shell_are_not_those_of_the_service(hello: Hello) -> None:
    """``export`` in the container, and the log stays what it is."""
    before = hello.log()
    changed = hello.execute(
        "export API_PASSWORD=incorrect_pw API_USER=incorrect_user; echo $API_USER; "
        "timeout 90 python3 greet.py | sed /^hello/q"
    )  # fmt: skip
    assert changed.stdout.startswith("incorrect_user\n")
    # A second one that is started there is the same enclave, with the same configuration.
    assert Log(changed.stdout).users == {"myself"}, changed.stderr
    assert Log(changed.stdout).passwords == before.passwords
    after = hello.log()
    assert (after.users, after.passwords) == (before.users, before.passwords)


def test_variables_of_the_deployment_are_not_those_of_the_service(hello: Hello) -> None:
    """``kubectl edit deployment`` makes a new pod with other variables, which are not used."""
    before, (pod,) = hello.log(), hello.pods()
    editor = hello.directory / "editor.py"
    editor.write_text(
        "import sys, yaml\n"
        "document = yaml.safe_load(open(sys.argv[1]))\n"
        "container = document['spec']['template']['spec']['containers'][0]\n"
        "container['env'] += [{'name': 'API_PASSWORD', 'value': 'incorrect_pw'},\n"
        "                     {'name': 'API_USER', 'value': 'incorrect_user'}]\n"
        "open(sys.argv[1], 'w').write(yaml.safe_dump(document))\n"
    )
    hello.shell("kubectl edit deployment pythonapp-greeter", EDITOR=f"{sys.executable} {editor}")
    after = hello.log(after=pod)
    assert hello.execute("echo [$API_USER]").stdout == "[incorrect_user]\n"
    assert (after.users, after.passwords) == (before.users, before.passwords)
    # The next test expects the deployment of the chart.
    (changed,) = hello.pods()
    hello.shell("kubectl set env deployment/pythonapp-greeter API_PASSWORD- API_USER-")
    hello.log(after=changed)


def test_an_edited_program_is_refused(hello: Hello) -> None:
    """In the container, the program is edited where it is found: what runs goes on, and nobody can start it again."""
    before = hello.log()
    edited = GREETING.replace("what", "that")
    found = hello.execute(f"grep -rlF '{GREETING}' /opt /python").stdout.split()
    assert "/opt/bannock/image/libown-fs.so" in found
    hello.execute(f"sed -i 's/{GREETING}/{edited}/' {' '.join(found)}")
    assert hello.execute(f"grep -rlF '{GREETING}' /opt /python").stdout == ""
    started = hello.execute("timeout 90 python3 greet.py")
    assert started.returncode == 40, started.stderr
    assert "is not what was measured" in started.stderr
    assert "hello" not in started.stdout
    after = hello.log()
    assert after.greetings == before.greetings == {GREETING}
    _reboot(hello)


def test_a_rebuilt_image_is_refused(hello: Hello) -> None:
    """Who changes the program and pushes it under the same tag gets both measurements told, and nothing else."""
    image = f"{hello.variables['APP_IMAGE_REPO']}/greeter"
    hello.shell(f"docker tag {image}:1 {image}:kept")
    try:
        hello.write(greeting=GREETING.replace("what", "that"))
        built = hello.shell("sconectl apply -f service.yaml --set-version $VERSION").stderr
        (measured,) = re.findall(r"^MRENCLAVE ([0-9a-f]{64})$", built, re.MULTILINE)
        told = _reboot(hello, _REFUSED)
        accepted = _accepted(hello)
        _require_chain(told, measured, accepted)
        _require_difference(hello, f"{image}:kept", f"{image}:1", accepted)
    finally:
        hello.write()
        hello.shell(f"docker tag {image}:kept {image}:1; docker push --quiet {image}:1")
        _reboot(hello)


def _require_difference(hello: Hello, first: str, second: str, accepted: str) -> None:
    """Whoever keeps what versions are made of is told what differs, too."""
    kept = hello.directory / "measurements"
    kept.mkdir()
    places = ("-v", f"{kept}:/m", "-e", "BANNOCK_MEASUREMENTS=/m")
    hello.engine.in_container(first, options=("-e", "SCONE_HASH=1", *places))
    assert (kept / f"{accepted}.json").is_file()
    names = hello.engine.output("ps", "-aq", "--filter", f"ancestor={second}").split()
    (pod,) = json.loads(hello.engine.output("inspect", names[0]))
    network = next(iter(pod["NetworkSettings"]["Networks"]))
    variables = [word for variable in pod["Config"]["Env"] for word in ("-e", variable)]
    allowed = ("--network", network, "--security-opt", "seccomp=unconfined")
    refused = hello.engine.in_container(second, options=(*allowed, *variables, *places), check=False)
    differing = refused.stderr.partition(f"What differs from {accepted}:\n")[2]
    assert "libown-fs.so" in differing, refused.stderr
    assert "libbinary-fs.so" not in differing


def _reboot(hello: Hello, until: str = "hello ") -> str:
    """Have the service started anew, in a new container of the image that the registry has."""
    (pod,) = hello.pods()
    hello.shell(f"kubectl delete {pod}")
    return hello.printed(until)


def _accepted(hello: Hello) -> str:
    """Give what the policy accepts."""
    (path,) = (hello.directory / "target" / "policies").glob("003-*.yaml")
    (accepted,) = yaml.safe_load(path.read_text())["services"][0]["attestation"][0]["mrenclave"]
    return str(accepted)


def _require_chain(told: str, found: str, expected: str) -> None:
    assert found != expected
    chain = (
        "[SCONE|FATAL] Could not initialize enclave state: Attestation failed",
        "Caused by: CAS sent an attestation/configuration error",
        "Caused by: The program enclave is not trustworthy",
        "Caused by: None of the required enclave properties are met by the enclave",
        "Caused by: Not all of the required enclave properties are met by the enclave",
        "Caused by: None of the required enclave properties are met by the enclave",
        f"Unexpected enclave measurement (MRENCLAVE, {found}) - Expected {expected}",
        "Note: Connecting to CAS at cas.scone-system (port 18765) using service ID",
    )
    place = 0
    for line in chain:
        place = told.find(line, place)
        assert place >= 0, f"{line}\n\n{told}"
        place += len(line)
    assert "hello " not in told


# Consistency


@dataclass(frozen=True)
class Updates:
    """What happened while an application was updated, and then reverted.

    Attributes:
        first: log of version 1.
        second: of version 2, another program.
        renamed: of version 2, with another user.
        rolled: of version 2, with a longer password.
        reverted: what a pod of image 1 under tag 2 said.
        measurements: of version 1 and 2.
        old_policy: what the CAS said to the policy of version 1.
    """

    first: Log
    second: Log
    renamed: Log
    rolled: Log
    reverted: str
    measurements: tuple[str, str]
    old_policy: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def updates(hello: Hello) -> Updates:
    """Update an application twice, and roll its password; then try to have the old one again."""
    variables = {**hello.variables, "RELEASE": "second", "APP_NAMESPACE": "second-1-2", "UPLOAD_MODE": "Upload"}
    first = replace(hello, directory=hello.directory.with_name("second"), variables=variables)
    second = replace(first, variables={**variables, "TAG": "2"})
    renamed = replace(second, variables={**second.variables, "USER_NAME": "somebody"})
    first.write()
    first.shell("source run-mesh.sh")
    logs = [first.log()]
    measurements = [_accepted(first)]
    (policy,) = (first.directory / "target" / "policies").glob("003-*.yaml")
    old = first.directory / "old.yaml"
    shutil.copy(policy, old)
    first.write(greeting="of version two")
    for reader, script in ((second, "run.sh"), (renamed, "run-mesh.sh")):
        (pod,) = reader.pods()
        reader.shell(f"source {script}")
        if reader is renamed:
            reader.shell(f"kubectl delete {pod}")
        logs.append(reader.log(after=pod))
    measurements.append(_accepted(second))
    renamed.write(greeting="of version two", size=12)
    (pod,) = renamed.pods()
    renamed.shell(f"source run-mesh.sh; kubectl delete {pod}")
    logs.append(renamed.log(after=pod))
    old_policy = renamed.shell(f"scone session create {old}", code=None)
    image = f"{variables['APP_IMAGE_REPO']}/greeter"
    renamed.shell(
        f"docker tag {image}:1 {image}:2; docker push --quiet {image}:2; "
        "helm uninstall second; helm install second target/helm"
    )
    reverted = renamed.printed(_REFUSED)
    return Updates(logs[0], logs[1], logs[2], logs[3], reverted, (measurements[0], measurements[1]), old_policy)


def test_the_password_stays_over_updates(updates: Updates) -> None:
    """Another program and another user: the CAS keeps what it made."""
    assert updates.first.passwords == updates.second.passwords == updates.renamed.passwords


def test_the_password_changes_with_its_description(updates: Updates) -> None:
    """A longer one is a new one, and the old one is nowhere."""
    assert updates.rolled.passwords.isdisjoint(updates.first.passwords)


def test_each_version_is_what_was_deployed(updates: Updates) -> None:
    """The program and the user of each version are those that the owner made."""
    assert updates.first.greetings == {GREETING}
    assert updates.second.greetings == {"of version two"}
    assert (updates.first.users, updates.renamed.users) == ({"myself"}, {"somebody"})


def test_an_old_image_under_a_new_tag_is_refused(updates: Updates) -> None:
    """Version 1 was in order once; it is not any more."""
    _require_chain(updates.reverted, *updates.measurements)


def test_an_old_policy_is_refused(updates: Updates) -> None:
    """With the policy of version 1 its user and its program would be back; the CAS has gone on."""
    assert updates.old_policy.returncode != 0
    assert "predecessor" in updates.old_policy.stderr


def test_the_page_of_the_documentation(hello: Hello) -> None:
    """Its service and its mesh, with the registry and the CAS of this reader, and what it says of attacks."""
    more = {"APP_NAMESPACE": "page-1-2", "RELEASE": "hello"}
    Reader(hello.directory.with_name("page"), {**hello.variables, **more}).follow(page("tutorials/mesh.md"))
