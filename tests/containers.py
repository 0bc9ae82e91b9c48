"""A Docker engine, a registry and base images for tests, made here: nothing is pulled.

An engine that runs is used, and left as it was; else one is started, with a data directory of its own. What is made in
it has names that begin with a prefix of this run, and is removed at the end. Base images are made from packages of
Debian (mmdebstrap), once for each run; $BASE_IMAGES names a directory that keeps them for the next one.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["BaseImages", "Container", "Engine", "Registry", "running_engine", "running_registry"]

_START_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 0.1
_BUSYBOX: Final = Path("/bin/busybox")
#: What images do not need, and packages bring along.
_EXCLUDED: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Container:
    """A container that runs."""

    engine: Engine
    name: str

    @property
    def address(self) -> str:
        """Its address in the network of the engine."""
        return self.engine.output(
            "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.name
        )

    @property
    def logs(self) -> str:
        """What it has printed so far."""
        done = self.engine.run("logs", self.name)
        return done.stdout + done.stderr

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.engine.output("inspect", "-f", "{{.State.Running}}", self.name) == "true"

    def execute(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a program in it, as its root."""
        return self.engine.run("exec", "-u", "0", self.name, *command, check=check)

    def wait_for(self, text: str, seconds: float = _START_SECONDS) -> None:
        """Wait until it has printed something."""
        end = time.monotonic() + seconds
        while text not in self.logs:
            assert self.runs, self.logs
            assert time.monotonic() < end, self.logs
            time.sleep(_STEP_SECONDS)

    def wait_for_port(self, port: int, seconds: float = _START_SECONDS) -> None:
        """Wait until it takes connections."""
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection((self.address, port), timeout=1).close()
            except OSError:
                assert self.runs, self.logs
                assert time.monotonic() < end, self.logs
                time.sleep(_STEP_SECONDS)
            else:
                return


@dataclass(frozen=True)
class Engine:
    """A Docker engine.

    Attributes:
        host: where it answers, as $DOCKER_HOST.
        prefix: what names of containers and images of this run begin with.
    """

    host: str
    prefix: str = field(default_factory=lambda: f"bannock-test-{secrets.token_hex(4)}")

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which programs of Docker reach this engine."""
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}

    @property
    def socket(self) -> Path:
        """Its unix socket."""
        return Path(self.host.removeprefix("unix://"))

    def run(
        self, *arguments: str, stdin: bytes | None = None, check: bool = True, seconds: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker`` with these arguments."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
        out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        assert not check or done.returncode == 0, f"docker {arguments}: {err}{out}"
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def output(self, *arguments: str) -> str:
        """Run ``docker``, and give what it printed without white space around it."""
        return self.run(*arguments).stdout.strip()

    def name(self, what: str) -> str:
        """Give a name of this run's for an image or a container."""
        return f"{self.prefix}-{what}"

    def imported(self, what: str, archive: Path, *changes: str) -> str:
        """Make an image of one layer out of a tar archive, and give its name."""
        name = self.name(what)
        self.run("import", *(word for change in changes for word in ("-c", change)), str(archive), name)
        return name

    def built(self, what: str, context: Path, *options: str) -> str:
        """Build an image from the Dockerfile in a directory, and give its name."""
        name = self.name(what)
        self.run("build", "-q", *options, "-t", name, str(context), seconds=600)
        return name

    def in_container(
        self, image: str, *command: str, options: Sequence[str] = (), check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        return self.run("run", "--rm", "--name", self._container(), *options, image, *command, check=check)

    @contextmanager
    def started(self, image: str, *command: str, options: Sequence[str] = ()) -> Iterator[Container]:
        """Start a container, and remove it afterwards."""
        name = self._container()
        try:
            self.run("run", "-d", "--name", name, *options, image, *command)
            yield Container(self, name)
        finally:
            self.run("rm", "-f", "-v", name, check=False)

    def _container(self) -> str:
        return self.name(secrets.token_hex(4))

    def is_up(self) -> bool:
        """Whether it answers."""
        return self.run("info", check=False).returncode == 0

    def remove_all(self) -> None:
        """Remove the containers and images of this run."""
        containers = self.output("ps", "-aq", "--filter", f"name={self.prefix}").split()
        if containers:
            self.run("rm", "-f", "-v", *containers, check=False)
        images = self.output("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        if ours := [image for image in images if self.prefix in image]:
            self.run("rmi", "-f", *ours, check=False)


@contextmanager
def running_engine(directory: Path, *under: str) -> Iterator[Engine]:
    """Give the engine of this machine, or start one whose data is in a directory; skips where there can be none.

    Args:
        directory: for the data of an engine that is started.
        under: a command with its arguments that starts it.
    """
    if shutil.which("docker") is None:
        pytest.skip("needs docker")
    ours = Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    if ours.is_up():
        try:
            yield ours
        finally:
            ours.remove_all()
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("needs a Docker engine, or dockerd and root")
    _have_control_groups()
    # A path of a unix socket is short.
    place = Path(tempfile.mkdtemp(prefix="bannock-test-", dir="/run"))
    engine = Engine(f"unix://{place}/docker.sock")
    places = [f"--exec-root={place}/exec", f"--pidfile={place}/pid", f"--data-root={directory / 'data'}"]
    with (directory / "dockerd.log").open("wb") as log:
        process = subprocess.Popen([*under, "dockerd", "-H", engine.host, *places], stdout=log, stderr=log)
        try:
            end = time.monotonic() + _START_SECONDS
            while not engine.is_up():
                if process.poll() is not None or time.monotonic() > end:
                    why = (directory / "dockerd.log").read_text(errors="replace")[-2000:]
                    pytest.skip(f"no Docker engine starts here: {why}")
                time.sleep(_STEP_SECONDS)
            yield engine
            engine.remove_all()
        finally:
            process.terminate()
            process.wait(timeout=60)
            shutil.rmtree(place, ignore_errors=True)
            shutil.rmtree(directory / "data", ignore_errors=True)


def _have_control_groups() -> None:
    """Mount the hierarchies of control groups where nobody has done so."""
    if " cgroup" not in Path("/proc/mounts").read_text() and shutil.which("cgroupfs-mount") is not None:
        subprocess.run(["cgroupfs-mount"], check=False, capture_output=True)


@dataclass(frozen=True)
class Registry:
    """A registry of images on this host.

    Attributes:
        address: HOST:PORT, the first part of names of images in it.
        directory: where it keeps them.
    """

    address: str
    directory: Path


@contextmanager
def running_registry(directory: Path) -> Iterator[Registry]:
    """Start a registry whose data is in a directory; skips where it is not installed."""
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = directory / "registry.json"
    storage = {"filesystem": {"rootdirectory": str(directory / "registry")}, "delete": {"enabled": True}}
    config.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": address, "secret": "tests"}}))
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
        try:
            end = time.monotonic() + _START_SECONDS
            host, _, port = address.partition(":")
            while True:
                try:
                    socket.create_connection((host, int(port)), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, (directory / "registry.log").read_text()
                    assert time.monotonic() < end
                    time.sleep(_STEP_SECONDS)
            yield Registry(address, directory / "registry")
        finally:
            process.terminate()
            process.wait(timeout=60)


@dataclass(frozen=True)
class BaseImages:
    """Images to build on: each is made when it is first asked for. Methods give its name.

    Attributes:
        engine: where they are.
        directory: for what they are made of.
    """

    engine: Engine
    directory: Path
    _kept: Path | None = None
    _made: dict[str, str] = field(default_factory=dict)

    @classmethod
    def in_directory(cls, engine: Engine, directory: Path) -> Self:
        """Make none yet."""
        kept = os.environ.get("BASE_IMAGES")
        return cls(engine, directory, Path(kept) if kept else None)

    def debian(self, *packages: str) -> str:
        """Debian with these packages and what they need; ``debian()`` is the least that Debian can be."""
        what = "-".join(["debian", *packages]).lower().replace("+", "")
        return self._once(what, lambda archive: self._bootstrap(archive, packages), 'ENV PATH="/usr/sbin:/usr/bin"')

    def python(self) -> str:
        """Debian with Python, Flask, ssh and the certificates of authorities."""
        return self.debian("python3", "ca-certificates", "python3-flask", "openssh-client")

    def with_packages(self, *packages: str, **links: str) -> str:
        """Give :meth:`python` with files of more packages, and with links in /usr/bin.

        The packages are unpacked and not set up, which takes seconds where putting Debian together takes a minute.
        """
        what = "-".join(["packages", *packages])
        if what not in self._made:
            context = self._directory(f"{what}-context")
            self._unpack(context / "added.tar", self.archive(self.python()), packages, links)
            (context / "Dockerfile").write_text(f"FROM {self.python()}\nADD added.tar /\n")
            self._made[what] = self.engine.built(what, context)
            shutil.rmtree(context)
        return self._made[what]

    def busybox(self) -> str:
        """Nothing but busybox, which needs no library."""
        return self._once("busybox", lambda archive: _archive(archive, self._busybox()), 'CMD ["/bin/sh"]')

    def musl(self) -> str:
        """Busybox beside the C library that Alpine has."""
        return self._once("musl", lambda archive: _archive(archive, self._musl()), 'CMD ["/bin/sh"]')

    def empty(self) -> str:
        """Nothing at all."""
        return self._once("empty", lambda archive: _archive(archive, self._directory("empty")))

    def archive(self, name: str) -> Path:
        """Give the archive of the only layer of an image that was made."""
        return self.directory / f"{name}.tar"

    def _once(self, what: str, make: Callable[[Path], None], *changes: str) -> str:
        if what not in self._made:
            archive = self.archive(self.engine.name(what))
            make(archive)
            self._made[what] = self.engine.imported(what, archive, *changes)
        return self._made[what]

    def _bootstrap(self, archive: Path, packages: Sequence[str]) -> None:
        kept = self._kept and self._kept / f"{'-'.join(['debian', *packages])}.tar"
        if kept and kept.exists():
            try:
                archive.hardlink_to(kept)
            except OSError:
                shutil.copy(kept, archive)
            return
        if shutil.which("mmdebstrap") is None:
            pytest.skip("needs mmdebstrap")
        options = ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED)]
        included = [f"--include={','.join(packages)}"] if packages else []
        done = subprocess.run(
            ["mmdebstrap", "-q", "--variant=essential", *options, *included, "bookworm", str(archive)],
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        if kept:
            shutil.copy(archive, kept)

    def _unpack(self, archive: Path, base: Path, packages: Sequence[str], links: Mapping[str, str]) -> None:
        """Write what packages have, and those that they need and a base has not."""
        kept = (self._kept or self.directory) / "-".join(["packages", *packages])
        if not kept.exists():
            if shutil.which("apt-get") is None:
                pytest.skip("needs apt")
            _download(base, packages, kept)
        root = Path(tempfile.mkdtemp(dir=self.directory))
        root.chmod(0o755)
        for package in sorted(kept.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
        for path in _EXCLUDED:
            shutil.rmtree(root / path[1:-2], ignore_errors=True)
        (root / "usr" / "bin").mkdir(parents=True, exist_ok=True)
        for name, target in links.items():
            (root / "usr" / "bin" / name).symlink_to(target)
        # Debian's base has these as links.
        for name in ("bin", "sbin", "lib", "lib64"):
            if (root / name).is_dir():
                shutil.copytree(root / name, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(root / name)
        _archive(archive, root)
        shutil.rmtree(root)

    def _directory(self, what: str) -> Path:
        path = self.directory / what
        path.mkdir()
        return path

    def _busybox(self, what: str = "busybox") -> Path:
        if not _BUSYBOX.exists():
            pytest.skip("needs busybox-static")
        root = self._directory(what)
        for name in ("bin", "etc", "tmp", "root", "proc", "dev", "sys"):
            (root / name).mkdir()
        (root / "tmp").chmod(0o1777)
        shutil.copy(_BUSYBOX, root / "bin" / "busybox")
        (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
        for applet in subprocess.check_output([str(_BUSYBOX), "--list"], text=True).split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        return root

    def _musl(self) -> Path:
        root = self._busybox("musl")
        place = self._kept or self._directory("musl-package")
        if not [*place.glob("musl_*.deb")]:
            # apt gives the right to write there up to a user without rights otherwise, and warns of it.
            sandbox = ["-o", "APT::Sandbox::User=root"]
            if subprocess.run(["apt-get", "download", "-qq", *sandbox, "musl"], cwd=place, check=False).returncode:
                pytest.skip("needs apt and Debian's package musl")
        package = next(place.glob("musl_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
        return root


def _download(base: Path, packages: Sequence[str], target: Path) -> None:
    """Have apt fetch packages, and those that they need and an archive of Debian has not."""
    place = Path(tempfile.mkdtemp(dir=target.parent))
    (place / "partial").mkdir()
    with tarfile.open(base) as archive:
        status = archive.extractfile("./var/lib/dpkg/status")
        assert status is not None
        (place / "status").write_bytes(status.read())
    # apt gives the right to write there up to a user without rights otherwise, and warns of it.
    options = ["APT::Sandbox::User=root", f"Dir::State::status={place}/status", f"Dir::Cache::archives={place}"]
    done = subprocess.run(
        ["apt-get", "-qq", "--no-install-recommends", "--download-only", "-y",
         *(word for option in options for word in ("-o", option)), "install", *packages],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place.rename(target)


def _archive(path: Path, root: Path) -> None:
    """Write a tree as a tar archive that is root's, with names in order."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for each in sorted(root.rglob("*")):
            info = archive.gettarinfo(each, str(each.relative_to(root)))
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = "root"
            archive.addfile(info, io.BytesIO(each.read_bytes()) if info.isreg() else None)
