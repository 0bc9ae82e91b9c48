"""Programs that move whole trees - git, tar, cp, rsync - bring them onto an encrypted volume and off it unchanged."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root, pytest.mark.slow]

_REPOSITORY = Path(__file__).parents[3]
#: What every machine has that runs the tests: thousands of files, with links of both kinds among them.
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_LEFT_OUT = ("site-packages", "dist-packages", "__pycache__")
_COMMITS = 30


def run(*command: object, directory: Path | None = None) -> str:
    """Run a program that has to succeed, with nobody's settings; return what it prints."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.org",
    }  # fmt: skip
    done = subprocess.run(list(map(str, command)), cwd=directory, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout.decode(errors="replace")


def same(one: Path, other: Path) -> None:
    """See that two trees are the same: contents, and what find(1) says of every name."""
    run("diff", "-r", "--no-dereference", one, other)
    listings = [
        run("find", ".", "-type", "d", "-printf", "%P %m %U %G\\n", "-o", "-printf", "%P %y %m %U %G %n %s %T@ %l\\n",
            directory=top)
        for top in (one, other)
    ]  # fmt: skip
    assert sorted(listings[0].splitlines()) == sorted(listings[1].splitlines())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a big tree: a standard library, and what is rare in one: links, sparse and empty files, odd names."""
    top = tmp_path_factory.mktemp("tree") / "tree"
    shutil.copytree(_LIBRARY, top / "library", symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    odd = top / "odd"
    odd.mkdir()
    files = sorted(path for path in (top / "library").rglob("*.py"))
    for number, path in enumerate(files[::5]):
        (odd / f"hard link {number}").hardlink_to(path)
        (odd / f"link {number}").symlink_to(os.path.relpath(path, odd))
    (odd / "nowhere").symlink_to("/nonexistent/target")
    (odd / "new\nline").write_text("x")
    (odd / os.fsdecode(b"not utf-8 \xff")).write_text("x")
    (odd / "empty directory").mkdir(mode=0o700)
    (odd / "empty").touch(mode=0o400)
    with (odd / "sparse").open("wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
    os.chown(odd / "empty", 1234, 5678)
    return top


def test_tar_there_and_back(host: Host, tree: Path, tmp_path: Path) -> None:
    """A tree that tar unpacks on a volume is the same there, after a remount, and once packed and unpacked again."""
    run("tar", "-C", tree, "--format=posix", "--sparse", "-cf", tmp_path / "tree.tar", ".")
    (host.path / "tree").mkdir()
    run("tar", "-C", host.path / "tree", "--numeric-owner", "-xpf", tmp_path / "tree.tar")
    same(tree, host.path / "tree")
    host.remount()
    same(tree, host.path / "tree")
    run("tar", "-C", host.path / "tree", "--format=posix", "--sparse", "-cf", tmp_path / "back.tar", ".")
    (tmp_path / "back").mkdir()
    run("tar", "-C", tmp_path / "back", "--numeric-owner", "-xpf", tmp_path / "back.tar")
    same(tree, tmp_path / "back")
    assert "error" not in host.log.read_text()


def test_cp_and_removal(host: Host, tree: Path) -> None:
    """A copy by cp is the same, within a volume too; once all is removed nothing is left of the ciphertext."""
    run("cp", "-a", tree, host.path / "one")
    host.commit()
    run("cp", "-a", host.path / "one", host.path / "other")
    same(tree, host.path / "other")
    run("mv", host.path / "one", host.path / "moved")
    host.remount()
    same(host.path / "moved", host.path / "other")
    run("rm", "-r", host.path / "moved", host.path / "other")
    host.remount()
    host.stop()
    report = host.check()
    assert (report.files, report.leftovers) == (1, ())


@pytest.mark.skipif(shutil.which("rsync") is None, reason="needs rsync")
def test_rsync(host: Host, tree: Path, tmp_path: Path) -> None:
    """A tree comes by rsync, which then finds nothing to do, and what was changed follows."""
    rsync = ("rsync", "-aHS", "--numeric-ids", "--delete")
    run(*rsync, f"{tree}/", host.path / "tree")
    same(tree, host.path / "tree")
    host.remount()
    assert run(*rsync, "--itemize-changes", f"{tree}/", host.path / "tree") == ""
    changed = tmp_path / "changed"
    run("cp", "-a", tree, changed)
    for number, path in enumerate(sorted(changed.rglob("*.py"))):
        if number % 50 == 0:
            path.unlink()
        elif number % 50 == 1:
            path.write_text("changed")
    run(*rsync, "--inplace", f"{changed}/", host.path / "tree")
    host.remount()
    same(changed, host.path / "tree")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the project's own history, or one that is made up where there is none (or not all of it)."""
    with contextlib.suppress(AssertionError):
        shallow = run("git", "rev-parse", "--is-shallow-repository", directory=_REPOSITORY).strip()
        commits = int(run("git", "rev-list", "--count", "HEAD", directory=_REPOSITORY))
        if shallow == "false" and commits > _COMMITS:
            return _REPOSITORY
    made = tmp_path_factory.mktemp("history")
    generator = random.Random(5)  # noqa: S311 # repeatable
    run("git", "init", "-q", directory=made)
    for number in range(_COMMITS + 1):
        for name in generator.sample(range(300), 40):
            path = made / f"dir {name % 17}/file {name}"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(str(generator.random()) for _ in range(100)))
        run("git", "add", "-A", directory=made)
        run("git", "commit", "-qm", f"change {number}", directory=made)
    return made


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git(host: Host, history: Path) -> None:
    """A history is cloned, packed anew and checked on a volume; old and new trees are checked out without a change."""
    clone = host.path / "clone"
    run("git", "clone", "-q", "--no-hardlinks", f"file://{history}", clone)
    commits = run("git", "rev-list", "--reverse", "HEAD", directory=clone).split()
    branch = run("git", "symbolic-ref", "--short", "HEAD", directory=clone).strip()
    for commit in (commits[0], commits[len(commits) // 2], commits[-1]):
        run("git", "checkout", "-q", "--detach", commit, directory=clone)
        assert run("git", "status", "--porcelain", directory=clone) == ""
    run("git", "checkout", "-q", branch, directory=clone)
    (clone / "new").write_text("new")
    run("git", "add", "-A", directory=clone)
    run("git", "commit", "-qm", "new", directory=clone)
    run("git", "repack", "-q", "-a", "-d", "-f", directory=clone)
    run("git", "gc", "-q", "--prune=now", directory=clone)
    host.remount()
    assert "error" not in run("git", "fsck", "--full", "--strict", directory=clone)
    # What the index knows of every file (times, inode numbers, sizes) is still so.
    run("git", "diff-files", "--quiet", directory=clone)
    assert run("git", "status", "--porcelain", directory=clone) == ""
    assert run("git", "rev-list", "--reverse", "HEAD~1", directory=clone).split() == commits
    run("git", "worktree", "add", "-q", "--detach", host.path / "old", commits[0], directory=clone)
    assert run("git", "status", "--porcelain", directory=host.path / "old") == ""
    assert run("git", "ls-tree", "-r", "--name-only", "HEAD", directory=host.path / "old") == run(
        "git", "ls-files", directory=host.path / "old"
    )
    assert "error" not in host.log.read_text()
