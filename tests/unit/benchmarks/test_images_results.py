"""What measurements of images, runs and services become: compared with what they are to be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.goals import Unit
from benchmarks.images.results import BUILD, NATIVE, SCONIFIED, Measured, add, measurements
from benchmarks.mesh import results as mesh
from benchmarks.remote import results as remote

if TYPE_CHECKING:
    from benchmarks.rows import Measurement


def _remarks(found: Measurement) -> dict[str, str]:
    return {f"{row.case}: {row.subject}": row.remark for row in found.rows() if row.remark}


def test_starts_are_compared_by_their_difference_and_conversions_by_their_ratio() -> None:
    """At the bound a goal is met; what is not the plain conversion has none."""
    found = measurements({})
    for row, seconds in (
        (f"pass: {NATIVE}", 0.5), ("pass: FUSE", 0.9), ("pass: memory", 0.9016), (f"20 MB: {BUILD}", 10),
        (f"20 MB: {SCONIFIED}", 15), (f"20 MB: {SCONIFIED}, nothing changed", 2), (f"200 MB: {BUILD}", 1),
        (f"200 MB: {SCONIFIED}", 1.51),
    ):  # fmt: skip
        add(found, row, Measured(seconds=seconds, peak=100, sealed=20_000_000))
    starts, conversions = found
    assert _remarks(starts) == {
        "pass: FUSE": f"<= {NATIVE} + 400 ms (+400): met",
        "pass: memory": f"<= {NATIVE} + 400 ms (+402): MISSED",
    }
    assert _remarks(conversions) == {
        f"20 MB: {SCONIFIED}": f">= 0.67 x {BUILD}: met",
        f"200 MB: {SCONIFIED}": f">= 0.67 x {BUILD}: MISSED",
    }
    sealed = next(row for row in conversions.rows() if row.case == "20 MB, sealed")
    assert (sealed.subject, sealed.unit, sealed.median) == (SCONIFIED, Unit.MEGABYTES, 20)


def test_runs_are_compared_with_the_same_by_hand() -> None:
    """Large inputs by their ratio, nothing by its difference."""
    found = remote.measurement({})
    for case, who, seconds in (
        (remote.NOTHING, remote.BY_HAND, 2), (remote.NOTHING, "execute", 5.1), (remote.FILES, remote.BY_HAND, 10),
        (remote.FILES, "ssh", 12), (remote.FILES, "directory", 12.1),
    ):  # fmt: skip
        remote.add(found, case, who, seconds, 100)
    assert _remarks(found) == {
        "nothing: execute": "<= by hand + 3 s (+3.1): MISSED",
        "files: ssh": ">= 0.83 x by hand: met",
        "files: directory": ">= 0.83 x by hand: MISSED",
    }


def test_an_apply_is_compared_with_the_build() -> None:
    """It may take one and a half times as long."""
    found = mesh.measurement({})
    for case, who, seconds in (("a", mesh.BUILD, 2), ("a", mesh.APPLY, 3), ("b", mesh.BUILD, 2), ("b", mesh.APPLY, 4)):
        found.add(case, who, Unit.SECONDS, seconds)
    assert _remarks(found) == {
        "a: sconectl apply": ">= 0.67 x docker build: met",
        "b: sconectl apply": ">= 0.67 x docker build: MISSED",
    }
