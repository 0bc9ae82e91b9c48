"""What is read from logs of strace."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.images.tracing.strace_log import read_log


def _found(log: str, cwd: str = "/") -> dict[str, set[str]]:
    lines = (line.encode() for line in log.splitlines(keepends=True))
    return {access.path: set(access.kinds) for access in read_log(lines, cwd=cwd)}


def test_what_is_done_with_a_path() -> None:
    """Each call says what was done; a call that failed says that a path is missing, or nothing."""
    assert _found(
        """\
execve("/usr/bin/python3", ["python3"], 0x7ffd /* 3 vars */) = 0
open("/read", O_RDONLY|O_CLOEXEC) = 3
openat(AT_FDCWD, "/listed", O_RDONLY|O_NONBLOCK|O_CLOEXEC|O_DIRECTORY) = 3
openat(AT_FDCWD, "/written", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3
openat(AT_FDCWD, "/missing", O_RDONLY) = -1 ENOENT (No such file or directory)
openat(AT_FDCWD, "/forbidden", O_RDONLY) = -1 EACCES (Permission denied)
stat("/looked", {st_mode=S_IFREG|0644, st_size=5815, ...}) = 0
mkdir("/made", 0777) = 0
rename("/from", "/to") = 0
read(3, "/no/path", 4096) = 8
getcwd("/nothing", 4096) = 9
exit_group(0) = ?
+++ exited with 0 +++
"""
    ) == {
        "/usr/bin/python3": {"execute"},
        "/read": {"read"},
        "/listed": {"list"},
        "/written": {"write"},
        "/missing": {"missing"},
        "/looked": {"probe"},
        "/made": {"write"},
        "/from": {"write"},
        "/to": {"write"},
    }


def test_forms_of_a_line() -> None:
    """Lines of several processes, with times, with paths of descriptors, and without any of that say the same."""
    assert _found(
        """\
9     openat(AT_FDCWD</>, "/a", O_RDONLY) = 3</a>
[pid  12] openat(AT_FDCWD, "/b", O_RDONLY) = 3
10:00:01.123456 openat(AT_FDCWD, "/c", O_RDONLY) = 3 <0.000011>
10:00:01 stat("/d", 0x7ffd) = -1 ENOENT (No such file or directory)
9     openat(AT_FDCWD</>, "/O_WRONLY", O_RDONLY) = 3</O_WRONLY>
9     openat2(AT_FDCWD</>, "/e", {flags=O_RDONLY|O_CLOEXEC, resolve=0}, 24) = 4
"""
    ) == {"/a": {"read"}, "/b": {"read"}, "/c": {"read"}, "/d": {"missing"}, "/O_WRONLY": {"read"}, "/e": {"read"}}


def test_a_call_that_another_process_interrupts() -> None:
    """The two halves of a call are put together, for each process by itself."""
    assert _found(
        """\
9     openat(AT_FDCWD, "/nine", O_RDONLY <unfinished ...>
10    openat(AT_FDCWD, "/ten", O_RDONLY <unfinished ...>
9     <... openat resumed>)             = 3
10    <... openat resumed>)             = -1 ENOENT (No such file or directory)
11    execve("/bin/true", ["/bin/true"], 0x21bfa8e0 /* 4 vars */ <unfinished ...>
11    <... execve resumed>)             = 0
"""
    ) == {"/nine": {"read"}, "/ten": {"missing"}, "/bin/true": {"execute"}}


def test_relative_paths() -> None:
    """They begin where the process is, which its children begin with; or at a descriptor that the log names."""
    assert _found(
        """\
9     open("first", O_RDONLY) = 3
9     chdir("below") = 0
9     vfork() = 10
10    open("../second", O_RDONLY) = 3
11    open("./third", O_RDONLY) = 3
11    openat(AT_FDCWD</where/it/is>, "fourth", O_RDONLY) = 3
11    openat(5</dir>, "fifth", O_RDONLY) = 3
11    openat(5, "unknown", O_RDONLY) = 3
11    newfstatat(3</file>, "", {st_mode=S_IFREG|0644}, AT_EMPTY_PATH) = 0
""",
        cwd="/app",
    ) == {
        "/app/first": {"read"},
        "/app/below": {"probe"},
        "/app/second": {"read"},
        "/app/third": {"read"},
        "/where/it/is/fourth": {"read"},
        "/dir/fifth": {"read"},
    }


def test_escapes() -> None:
    """Names with quotes, line ends and other letters than those of ASCII are those that the program used."""
    log = rb"""open("/a\"b\n\303\274\x41", O_RDONLY) = 3"""
    assert [access.path for access in read_log([log])] == ['/a"b\nüA']


def test_long_lines_are_passed_over() -> None:
    """A line that no call of a path has takes no time."""
    assert read_log([b'open("/' + b"a" * (1 << 20) + b'", O_RDONLY) = 3']) == ()


@settings(deadline=None)
@given(st.lists(st.binary() | st.builds(lambda rest: b'open("' + rest, st.binary()), max_size=5))
def test_any_bytes(lines: list[bytes]) -> None:
    """Whatever a log has, it is read."""
    for access in read_log(lines):
        assert access.path.startswith("/")
