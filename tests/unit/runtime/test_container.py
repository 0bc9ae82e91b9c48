"""What a container lacks is said in the words of ``docker run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.runtime.container import missing_options

if TYPE_CHECKING:
    from pathlib import Path

_DEFAULT, _SYS_ADMIN = "00000000a80425fb", "00000000a82425fb"


@pytest.mark.parametrize(
    ("capabilities", "profile", "fuse", "expected"),
    [
        (
            _DEFAULT,
            "unconfined\n",
            False,
            (
                "docker run --device /dev/fuse --security-opt seccomp=unconfined …, "
                "or with volumes in memory docker run --security-opt seccomp=unconfined …"
            ),
        ),
        (
            _DEFAULT,
            "docker-default (enforce)\n",
            True,
            "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined …",
        ),
        (
            _SYS_ADMIN,
            "docker-default (enforce)\n",
            True,
            "docker run --security-opt apparmor=unconfined …",
        ),
        (_SYS_ADMIN, None, True, "allow mounts in this container (its capabilities are there)"),
    ],
)
def test_names_what_is_missing(
    tmp_path: Path, capabilities: str, profile: str | None, *, fuse: bool, expected: str
) -> None:
    """Only what is missing is named, for FUSE and for memory apart."""
    status, attribute, device = tmp_path / "status", tmp_path / "current", tmp_path / "fuse"
    status.write_text(f"Name:\tpython3\nSeccomp:\t2\nCapBnd:\t{capabilities}\n")
    if profile is not None:
        attribute.write_text(profile)
    if fuse:
        device.touch()
    assert missing_options(status, attribute, device) == expected


def test_needs_no_kernel_that_tells(tmp_path: Path) -> None:
    """Where /proc says nothing, all that could be missing is named."""
    nothing = tmp_path / "nothing"
    assert missing_options(nothing, nothing, nothing) == (
        "docker run --device /dev/fuse --cap-add SYS_ADMIN …, "
        "or with volumes in memory docker run --cap-add SYS_ADMIN …"
    )
