"""What a soak came to, as Markdown, a CSV file and a picture."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.soak.samples import Samples

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.soak.samples import Verdict

__all__ = ["Course"]

_CSV_SECONDS: Final = 30.0
_FACTS: Final = frozenset({"date", "kernel", "processor", "memory", "load before", "Bannock", "seed"})
_COLOURS: Final = {"cas": "#D55E00", "las": "#009E73"}
_SERVICE: Final = "#0072B2"


@dataclass(kw_only=True)
class Course:
    """What has happened so far.

    Attributes:
        facts: about the machine.
        wrong: what must not be.
        happened: fault → how often.
        left: files for temporary use that nobody removed.
        audit: what the verification of the log said.
    """

    facts: dict[str, str]
    minutes: float
    services: int
    samples: Samples = field(default_factory=Samples)
    wrong: list[str] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    audit: str = "not verified"
    commits: int = 0
    starts: int = 0
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def say(self, line: str) -> None:
        """Tell who waits."""
        sys.stderr.write(f"[{self.seconds:6.1f} s] {line}\n")

    def markdown(self) -> str:
        """Give the report."""
        facts = "".join(f"- {name}: {fact}\n" for name, fact in self.facts.items() if name in _FACTS)
        faults = "".join(f"| {name} | {count} |\n" for name, count in sorted(self.happened.items()))
        verdicts = sorted(self.samples.verdicts(), key=lambda verdict: (verdict.who, verdict.life))
        lives = "".join(_line(verdict) for verdict in verdicts)
        wrong = "".join(f"- WRONG: {words}\n" for words in self.wrong) or "- nothing was wrong\n"
        return (
            f"{facts}- {self.services} services for {self.minutes:g} minutes: {self.starts} starts, {self.commits:,} "
            f"entries, each durable before the next\n- {sum(self.happened.values())} faults, updates and attacks\n"
            f"- audit log: {self.audit}\n- files for temporary use that are left: {len(self.left)}\n{wrong}"
            f"\n| what happened | times |\n|---|---:|\n{faults}"
            "\n| who, for how long | memory, MiB: second and last quarter | files | threads | |\n"
            f"|---|---:|---:|---:|---|\n{lives}"
        )

    def write(self, directory: Path) -> None:
        """Write the report, the samples and the picture."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.md").write_text(self.markdown(), encoding="utf-8")
        self.samples.write(directory / "samples.csv", _CSV_SECONDS)
        if self.samples.lives:
            self._draw(directory)

    def _draw(self, directory: Path) -> None:
        from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second, and is needed here alone

        figure = Figure(figsize=(9, 5), layout="constrained")
        above, below = figure.subplots(2, sharex=True)
        for life in self.samples.lives.values():
            look = {"color": _COLOURS.get(life.who, _SERVICE), "linewidth": 1.6 if life.who in _COLOURS else 0.6}
            minutes = [at / 60 for at, _ in life.samples]
            above.plot(minutes, [one.rss for _, one in life.samples], **look)
            below.plot(minutes, [one.handles for _, one in life.samples], **look)
        for axes, what in ((above, "memory, MiB"), (below, "open files")):
            axes.set_ylim(bottom=0)
            axes.set_ylabel(what)
            axes.grid(color="#cccccc", linewidth=0.5)
        for who, colour in (*_COLOURS.items(), ("services", _SERVICE)):
            above.plot([], [], color=colour, label=who)
        above.legend(ncols=3, frameon=False, loc="upper right")
        below.set_xlabel("minutes")
        figure.savefig(directory / "soak.svg", metadata={"Date": None, "Creator": "Bannock"})
        figure.savefig(directory / "soak.png", dpi=110, metadata={"Software": "Bannock"})


def _line(verdict: Verdict) -> str:
    def pair(values: tuple[float, float]) -> str:
        return f"{values[0]:.1f} → {values[1]:.1f}"

    flat = "flat" if verdict.is_flat else "GROWS"
    return (
        f"| {verdict.who}, {verdict.seconds / 60:.0f} min | {pair(verdict.rss)} | {pair(verdict.handles)} | "
        f"{pair(verdict.threads)} | {flat} |\n"
    )
