"""Protected images: what is in their layers, what opens with the session's key, and what is left of the native one."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import InputError, IntegrityError
from bannock.identity.layout import LAUNCHER, original_path
from bannock.images.sconify.options import PROTECTION_PATH, Places
from bannock.images.tree import Tree, TreeReader
from bannock.shield.fspf import Fspf
from tests.unit.images.build import item
from tests.unit.images.sconify.native import CODE, PROGRAM, converted, native, program

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.blobs import Scratch
    from bannock.images.model import Image
    from bannock.shield.volume import Volume


def _bytes(image: Image) -> bytes:
    """Everything that whoever pulls an image has of it."""
    parts = [image.written().config, image.written().manifest]
    for layer in image.layers:
        with layer.unpacked() as stream:
            parts.append(stream.read())
    return b"".join(parts)


def _unpacked(image: Image, target: Path) -> Path:
    """The files of an image, as a container's storage has them."""
    for found in Tree.of(image).walk("/"):
        place = target / found.path[1:]
        if found.entry.kind == "directory":
            place.mkdir(parents=True, exist_ok=True)
        elif found.entry.kind == "file":
            place.parent.mkdir(parents=True, exist_ok=True)
            with Tree.of(image).open(found.path) as source:
                place.write_bytes(source.read())
    return target


def test_nothing_of_what_is_protected_is_left(scratch: Scratch, tmp_path: Path) -> None:
    """Neither code nor values of variables are in any layer, nor in the configuration or its history."""
    made = converted(native(scratch), scratch, tmp_path)
    data = _bytes(made.image)
    assert b"secret algorithm" not in data
    assert b"hunter-22-canary" not in data
    assert b"server.py" not in made.image.written().config
    assert b"hunter-22-canary" in _bytes(native(scratch))


def test_the_sessions_key_opens_it(scratch: Scratch, tmp_path: Path) -> None:
    """With key and tag of the session, the encrypted directory is what it was; hard links are one file."""
    made = converted(native(scratch), scratch, tmp_path)
    root = _unpacked(made.image, tmp_path / "root")
    protection = made.started.protection
    assert protection is not None
    with Fspf.open(root / PROTECTION_PATH[1:], protection.key, protection.tag, writable=False) as fspf:
        assert [region.path for region in fspf.regions] == ["/", "/app"]
        volume = fspf.open_region("/app", root / "app", writable=False)
        names = {entry.name: entry.ino for entry in volume.names.entries(volume.root)}
        assert set(names) == {b"server.py", b"empty", b"link.py", b"same.py"}
        assert bytes(volume.inodes.read(names[b"server.py"], 0, 1000)) == CODE
        assert volume.inodes.get(names[b"empty"]).size == 0
        assert names[b"same.py"] == names[b"server.py"]
        assert volume.inodes.get(names[b"same.py"]).links == 2
        assert volume.names.link_target(names[b"link.py"]) == b"server.py"


def test_authenticated_files_stay_as_they_are(scratch: Scratch, tmp_path: Path) -> None:
    """All can read them, nobody can change them; what engines write, and what is in memory, is not among them."""
    image = native(scratch, {"usr/share/x/a.py": b"import b\n", "usr/share/x/tmp": None, "etc/passwd": b"root"})
    places = Places(authenticated=("/usr", "/etc"), ephemeral=("/usr/share/x/tmp",))
    made = converted(image, scratch, tmp_path, places=places)
    assert made.image.layers[: len(image.layers)] == image.layers
    root = _unpacked(made.image, tmp_path / "root")
    protection = made.started.protection
    assert protection is not None
    path = root / PROTECTION_PATH[1:]
    with Fspf.open(path, protection.key, protection.tag, writable=False) as fspf:
        kinds = {region.path: (region.protection.value, region.kernel) for region in fspf.regions}
        assert kinds == {
            "/": ("not-protected", "/"),
            "/etc": ("authenticated", "/etc"),
            "/usr": ("authenticated", "/usr"),
            "/usr/share/x/tmp": ("encrypted", None),
        }
        etc = fspf.open_region("/etc", root / "etc", writable=False)
        assert [entry.name for entry in etc.names.entries(etc.root)] == [b"passwd"]
        usr = fspf.open_region("/usr", root / "usr", writable=False)
        assert _read(usr, b"share/x/a.py") == b"import b\n"
        (root / "usr/share/x/a.py").write_bytes(b"import c\n")
        with pytest.raises(IntegrityError):
            _read(usr, b"share/x/a.py")
    again = converted(image, scratch, tmp_path, places=places)
    assert again.started.protection == protection


def _read(volume: Volume, path: bytes) -> bytes:
    ino = volume.root
    for name in path.split(b"/"):
        ino = {entry.name: entry.ino for entry in volume.names.entries(ino)}[name]
    return bytes(volume.inodes.read(ino, 0, 1000))


def test_the_launcher_has_the_programs_place(scratch: Scratch, tmp_path: Path) -> None:
    """The program stands aside with its bytes, and the launcher is where it was."""
    tree = Tree.of(converted(native(scratch), scratch, tmp_path).image)
    assert tree.read(PROGRAM) == LAUNCHER
    assert tree.read(original_path(PROGRAM)) == program()


def test_what_a_container_starts_with(scratch: Scratch, tmp_path: Path) -> None:
    """Command, variables and directory are the session's; the image names the session, the program and its user."""
    settings = {"SCONE_HEAP": "1G"}
    made = converted(native(scratch, user="7"), scratch, tmp_path, cas="cas", settings=settings)
    config = made.image.config
    assert (config.entrypoint, config.cmd, config.working_dir, config.user) == ((), (PROGRAM,), "", "7")
    assert dict(config.env) == {
        "PATH": "/usr/bin", "SCONE_CONFIG_ID": "ns/app/service", "SCONE_CAS_ADDR": "cas", "SCONE_HEAP": "1G",
    }  # fmt: skip
    assert made.started.command == ("serve", "/app/server.py")
    assert made.started.environment == {"PATH": "/usr/bin", "API_PASSWORD": "hunter-22-canary"}
    assert made.started.directory == "/app"


def test_layers_without_anything_protected_stay_as_they_are(scratch: Scratch, tmp_path: Path) -> None:
    """So that they are shared with the native image, and not pushed again."""
    image = native(scratch)
    made = converted(image, scratch, tmp_path).image
    assert made.layers[0] is image.layers[0]
    assert made.layers[1].digest != image.layers[1].digest


def test_nothing_is_sealed_twice(scratch: Scratch, tmp_path: Path) -> None:
    """The same image gives the same layers, key and tag; one more layer leaves those below as they were."""
    first = converted(native(scratch), scratch, tmp_path)
    second = converted(native(scratch), scratch, tmp_path)
    assert [layer.digest for layer in first.image.layers] == [layer.digest for layer in second.image.layers]
    assert first.started.protection == second.started.protection
    assert (first.again, second.again) == ((0, 1), (1, 1))
    third = converted(native(scratch, {"app/new.py": b"something new\n"}), scratch, tmp_path)
    assert third.again == (1, 2)
    assert third.image.layers[1].digest == first.image.layers[1].digest
    assert third.started.protection != first.started.protection


def test_a_damaged_cache_is_made_anew(scratch: Scratch, tmp_path: Path) -> None:
    """What is not what was kept is not used."""
    converted(native(scratch), scratch, tmp_path)
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    again = converted(native(scratch), scratch, tmp_path)
    assert again.again == (0, 1)


def test_keys_are_the_users_alone(scratch: Scratch, tmp_path: Path) -> None:
    """What is kept of keys is for nobody else."""
    converted(native(scratch), scratch, tmp_path)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    for path in (tmp_path / "cache").iterdir():
        if path.suffix != ".tar":
            assert path.stat().st_mode & 0o077 == 0


def test_what_was_removed_is_not_in_lower_layers(scratch: Scratch, tmp_path: Path) -> None:
    """A file that a later step removed from an encrypted directory is in no layer, nor is an older version of one."""
    later = {"app/.wh.server.py": b"", "app/same.py": b"new code\n"}
    made = converted(native(scratch, later, cmd=("serve",)), scratch, tmp_path)
    assert b"secret algorithm" not in _bytes(made.image)
    assert made.started.protection is not None


def test_the_measurement_is_that_of_the_native_program(scratch: Scratch, tmp_path: Path) -> None:
    """It depends on the program and on settings, and not on what is encrypted."""
    first = converted(native(scratch), scratch, tmp_path).started.measurement
    assert converted(native(scratch, {"app/b": b"other"}), scratch, tmp_path).started.measurement == first
    other = converted(native(scratch), scratch, tmp_path, settings={"SCONE_HEAP": "2G"}).started.measurement
    assert other != first


def test_another_base(scratch: Scratch, tmp_path: Path) -> None:
    """On another base, there is nothing of the native image but what is encrypted, measured or in clear on purpose."""
    base = native(scratch)
    image = native(scratch, {"data/x": b"plain data that was asked for\n", "other/y": b"not asked for at all\n"})
    places = Places(directories=("/app",), plain_directories=("/data",))
    made = converted(image, scratch, tmp_path, base=base, places=places).image
    tree = Tree.of(made)
    assert tree.read("/data/x")
    assert tree.find("/other/y") is None
    assert tree.read(original_path(PROGRAM)) == program()
    assert made.layers[0].diff_id == base.layers[0].diff_id


def test_a_protected_image_is_not_protected_again(scratch: Scratch, tmp_path: Path) -> None:
    """The native one has to be named."""
    made = converted(native(scratch), scratch, tmp_path)
    with pytest.raises(InputError, match="protected image already"):
        converted(made.image, scratch, tmp_path)


def test_links_out_of_an_encrypted_directory(scratch: Scratch, tmp_path: Path) -> None:
    """A hard link that would keep the plaintext in clear is refused, and it is said what to do."""
    outside = {"srv/code.py": item("srv/code.py", tarfile.LNKTYPE, link="app/server.py")}
    with pytest.raises(InputError, match=r"hard link to /app/server\.py") as caught:
        converted(native(scratch, outside), scratch, tmp_path)
    assert "--dir /srv" in str(caught.value.hint)


def test_links_into_an_encrypted_directory(scratch: Scratch, tmp_path: Path) -> None:
    """A hard link to a file outside is a file of its own in the encrypted directory."""
    files = {"srv/code.py": b"code of others\n", "app/z.py": item("app/z.py", tarfile.LNKTYPE, link="srv/code.py")}
    places = Places(directories=("/app",), plain_directories=("/srv",))
    made = converted(native(scratch, files), scratch, tmp_path, places=places)
    root = _unpacked(made.image, tmp_path / "root")
    assert (root / "app/z.py").stat().st_size == len(b"code of others\n")
    assert (root / "app/z.py").read_bytes() != b"code of others\n"


def test_what_stays_in_clear_is_listed(scratch: Scratch, tmp_path: Path) -> None:
    """By directories; and a file that the command names is pointed out."""
    made = converted(native(scratch), scratch, tmp_path)
    assert any(line.startswith("/usr/share: 1 files") for line in made.clear)
    assert not any(line.startswith("/app") for line in made.clear)
    made = converted(native(scratch), scratch, tmp_path, places=Places())
    assert any(line.startswith("/app: 3 files") for line in made.clear)
    assert any("/app/server.py is named by the command" in note for note in made.notes)


def test_a_measured_image_of_files(scratch: Scratch, tmp_path: Path) -> None:
    """With a file-system image, the measurement follows every file that is in it."""
    places = Places(image_directories=("/app",), host_paths=("/etc/hosts",))
    first = converted(native(scratch), scratch, tmp_path, places=places, binary_fs=True)
    assert Tree.of(first.image).find("/opt/bannock/image/libbinary-fs.so") is not None
    assert dict(first.image.config.env)["SCONE_EXTENSIONS_PATH"] == "/opt/bannock/image/libbinary-fs.so"
    changed = native(scratch, {"app/server.py": b"other code\n"})
    second = converted(changed, scratch, tmp_path, places=places, binary_fs=True)
    assert first.started.measurement != second.started.measurement
    assert first.started.protection is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"binary": "/usr/bin/none"}, "no such file"),
        ({"places": Places(directories=("/nope",))}, "no such directory"),
        ({"places": Places(directories=("/usr/bin/serve",))}, "no directory"),
        ({"command": ("/app/server.py",)}, "the image starts"),
    ],
)
def test_what_is_not_there_is_named(scratch: Scratch, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Options that do not fit the image."""
    with pytest.raises(InputError, match=message) as caught:
        converted(native(scratch), scratch, tmp_path, **changes)
    assert caught.value.hint is not None or message == "no directory"


def test_a_secret_in_a_label_is_refused(scratch: Scratch, tmp_path: Path) -> None:
    """Labels stay in clear, so no secret may be in one."""
    with pytest.raises(InputError, match="the label note") as caught:
        converted(native(scratch, labels={"note": "it is hunter-22-canary"}), scratch, tmp_path)
    assert "hunter" not in "".join([str(caught.value), *caught.value.reasons, str(caught.value.hint)])


def test_directories_that_lower_layers_alone_have(scratch: Scratch, tmp_path: Path) -> None:
    """Sources that the build removed again are taken out of the layers, with --dir."""
    build: tuple[dict[str, Any], ...] = ({"build": None, "build/server.py": CODE}, {".wh.build": b""})
    with pytest.raises(InputError, match="give away") as caught:
        converted(native(scratch, *build), scratch, tmp_path)
    assert "which upper layers hide" in caught.value.reasons[0]
    places = Places(directories=("/app", "/build"))
    made = converted(native(scratch, *build), scratch, tmp_path, places=places)
    assert b"secret algorithm" not in _bytes(made.image)


def test_measured_libraries_in_encrypted_directories_are_in_clear(scratch: Scratch, tmp_path: Path) -> None:
    """The program may be in an encrypted directory itself: it is measured instead."""
    made = converted(native(scratch), scratch, tmp_path, places=Places(directories=("/usr/bin", "/app")))
    assert TreeReader(Tree.of(made.image)).read(PROGRAM, 0, 2) == b"#!"
    assert Tree.of(made.image).read(original_path(PROGRAM)) == program()
