"""Pictures out of rows: how many times as fast as each peer, on a scale where twice and half are equally far."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final

from benchmarks.goals import Unit
from benchmarks.tables import parts, peers_of, with_peers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.rows import Row

__all__ = ["OVERVIEW", "draw", "name_of", "stamp"]

OVERVIEW: Final = "overview"
#: Colours of Okabe and Ito, which are told apart by everybody; each with a mark of its own, for print.
_LOOKS: Final = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"))
_WIDTH: Final = 9.0
_LINE: Final = 0.27
_AROUND: Final = 1.6
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud, and it makes small files
    "svg.hashsalt": "bannock",
    "font.family": "sans-serif",
    "font.size": 9,
}
_DPI: Final = 110
#: A size is no speed.
_SIZES: Final = (Unit.MEBIBYTES, Unit.MEGABYTES)


def draw(files: Mapping[str, Sequence[Row]], directory: Path) -> list[Path]:
    """Draw everything that has a peer, as SVG and as PNG, and say which files there are.

    Args:
        files: benchmark → its rows.
        directory: of the pictures.
    """
    rows = [row for found in files.values() for row in found if row.unit not in _SIZES]
    drawn = [path for part, found in parts(rows).items() if peers_of(found) for path in _draw(part, found, directory)]
    return [*drawn, *_overview(rows, directory)] if drawn else []


def name_of(part: str) -> str:
    """Give the name of the picture of a part, without an ending."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in part.lower()).split())


def stamp(rows: Sequence[Row]) -> str:
    """Say in few letters which values a picture was made of."""
    compared = [row for row in rows if row.ratios and row.unit not in _SIZES]
    text = "\n".join(f"{row.benchmark}|{row.case}|{row.subject}|{row.ratios}" for row in compared)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _draw(part: str, rows: Sequence[Row], directory: Path) -> list[Path]:
    compared = [row for row, _ in with_peers(rows) if row.ratios]
    several = len({row.subject for row in compared}) > 1
    labels = [f"{row.case}\n{row.subject}" if several else row.case for row in compared]
    figure, axes = _figure(len(compared) * (1.5 if several else 1))
    for number, peer in enumerate(peers_of(rows)):
        colour, mark = _LOOKS[number % len(_LOOKS)]
        places = [place for place, row in enumerate(compared) if peer in row.ratios]
        ratios = [compared[place].ratios[peer] for place in places]
        axes.scatter(ratios, places, c=colour, marker=mark, s=34, label=f"beside {peer}", zorder=3)
    axes.set_yticks(range(len(labels)), labels)
    _dress(axes, [ratio for row in compared for ratio in row.ratios.values()])
    axes.set_title(f"{part[:1].upper()}{part[1:]}: times as fast as its peers", loc="left", fontweight="bold")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return _save(figure, directory / name_of(part), stamp(rows))


def _overview(rows: Sequence[Row], directory: Path) -> list[Path]:
    """Draw every case beside its most important peer, a line for each part."""
    found = {part: compared for part, each in parts(rows).items() if (compared := [row for row in each if row.ratios])}
    figure, axes = _figure(1.6 * len(found))
    labels = []
    for place, (part, each) in enumerate(found.items()):
        peer = peers_of(each)[0]
        ratios = [row.ratios[peer] for row in each]
        colour, mark = _LOOKS[place % len(_LOOKS)]
        axes.scatter(ratios, [place] * len(ratios), c=colour, marker=mark, s=44, alpha=0.7, zorder=3)
        labels.append(f"{part}\nbeside {peer}")
    axes.set_yticks(range(len(labels)), labels)
    _dress(axes, [row.ratios[peers_of(each)[0]] for each in found.values() for row in each])
    axes.set_title("Each case beside its first peer", loc="left", fontweight="bold")
    return _save(figure, directory / OVERVIEW, stamp(rows))


def _figure(lines: float) -> tuple[Figure, Axes]:
    import matplotlib as mpl  # noqa: PLC0415 - takes a second, and only pictures need it
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    mpl.rcParams.update(_SETTINGS)
    figure = Figure(figsize=(_WIDTH, _LINE * lines + _AROUND), layout="constrained")
    return figure, figure.subplots()


def _dress(axes: Axes, ratios: Sequence[float]) -> None:
    finite = [ratio for ratio in ratios if 0 < ratio < math.inf]
    low, high = min([*finite, 0.5]) / 1.3, max([*finite, 2]) * 1.3
    axes.set_xscale("log", base=2)
    axes.set_xlim(low, high)
    ticks = [2.0**power for power in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
    axes.set_xticks(ticks, [f"{tick:g}x" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.axvspan(1, high, color="#009E73", alpha=0.06, zorder=0)
    axes.axvline(1, color="black", linewidth=1, zorder=2)
    axes.grid(axis="both", color="#cccccc", linewidth=0.5, zorder=1)
    axes.set_xlabel("slower  ←   as fast   →  faster", x=math.log(1 / low) / math.log(high / low))
    axes.set_ylim(max(axes.get_yticks()) + 0.6, -0.6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _save(figure: Figure, path: Path, made_of: str) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    svg, png = path.with_suffix(".svg"), path.with_suffix(".png")
    figure.savefig(svg, metadata={"Date": None, "Creator": "Bannock", "Description": made_of})
    figure.savefig(png, dpi=_DPI, metadata={"Software": "Bannock", "Description": made_of})
    return [svg, png]
