"""What every figure shares: its look, its colours, its footer, and files that are the same bytes every time."""

from __future__ import annotations

import colorsys
import importlib
import math
import pkgutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.plots.typeface import families
from analysis.speed import SpeedRow
from analysis.summary import Row, Summary
from core.errors import ConfigError, did_you_mean
from core.io import atomic_path
from sweeps.declared import DeclaredCell

# Okabe and Ito's colours, safe for the colour-blind, then some of Tol's muted set. One method, one colour, everywhere.
# No two of one hue, because the rows of a method are told apart by tones.
METHOD_COLOURS = {
    "mvmae": "#0072B2",
    "mae": "#E69F00",
    "vicreg": "#009E73",
    "supervised": "#CC79A7",
    "random": "#7F7F7F",
    "simclr": "#8C564B",
    "dino": "#D55E00",
    "byol": "#882255",
    "moco": "#999933",
    "barlow": "#332288",
    "mlvicx": "#44AA99",
}
OTHER_COLOURS = ("#661100", "#6699CC", "#AA4466", "#117733", "#DDCC77")
TITLES = {
    "mvmae": "MVMAE",
    "mae": "MAE",
    "vicreg": "VICReg",
    "supervised": "Supervised",
    "simclr": "SimCLR",
    "byol": "BYOL",
    "mocov3": "MoCo v3",
    "dino": "DINO",
    "barlow_twins": "Barlow Twins",
    "mlvicx": "MLVICX",
    "mvmae_v2t": "MVMAE-V2T",
    "pairing": "Pairing",
    "method.mask_ratio": "Masking ratio",
    "method.weight": "Alignment weight β",
    "train.batch_size": "Batch",
}
# How every figure is saved, by format: without the metadata that would make two files of one figure differ.
# PNG's usual level of compression, 6, takes twice as long and saves nothing.
FORMATS: dict[str, Any] = {
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
    "pdf": {"metadata": {"CreationDate": None, "Producer": None}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
}
NO_FIGURES = ("base", "files", "overview", "typeface")
SHORT = {"method.mask_ratio": "ratio", "method.weight": "β"}
AUROC = "Macro AUROC"
INK, MUTED, RULE = "#222222", "#666666", "#DDDDDD"
LOOK: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "text.color": INK,
    "pdf.fonttype": 42,
    "svg.hashsalt": "viewpair",
    # Laid out at the resolution it is saved at, without hinting: text is then as wide in every format.
    "figure.dpi": 200,
    "text.hinting": "none",
    "figure.constrained_layout.w_pad": 0.06,
    "savefig.dpi": 200,
    "path.simplify": False,
}


@dataclass(frozen=True)
class Drawn:
    """A figure that is ready to be saved. name: of its files. caption: one or two sentences, with n."""

    name: str
    figure: Any
    caption: str


@contextmanager
def look() -> Iterator[None]:
    """Draw and save with the same settings, whatever the user's own matplotlib says."""
    import matplotlib

    matplotlib.use("agg")
    settings: Any = {**matplotlib.rcParamsDefault, **LOOK, "font.family": families(), "backend": "agg"}
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Any, Any]:
    """A figure of `width` x `height` inches and its axes [rows, columns], without pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def save(drawn: Drawn, folder: Path) -> list[str]:
    """Write <name>.png, <name>.pdf and <name>.svg; returns their names. The same figure gives the same bytes."""
    written = []
    # Laid out here, not once a format: with many axes that is most of the time.
    drawn.figure.get_layout_engine().execute(drawn.figure)
    drawn.figure.set_layout_engine(None)
    for suffix, options in FORMATS.items():
        name = f"{drawn.name}.{suffix}"
        with atomic_path(folder / name) as temporary:
            drawn.figure.savefig(temporary, format=suffix, **options)
        written.append(name)
    return written


def remove(name: str, folder: Path) -> None:
    """Remove the files of the figure `name`, if there are any."""
    for suffix in FORMATS:
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def names() -> list[str]:
    """Names of the figures that an ablation can ask for."""
    package = importlib.import_module("analysis.plots")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in NO_FIGURES)


def draw(name: str, summary: Any) -> Drawn | None:
    """The figure that the module `name` draws; None where the ablation has nothing for it.

    summary: a `Summary`, or a `SpeedSummary` for a figure of a throughput ablation.
    """
    if name not in names():
        raise ConfigError(f"draw: there is no figure {name!r}", did_you_mean(name, names()))
    module = importlib.import_module(f"analysis.plots.{name}")
    drawn: Drawn | None = module.draw(summary)
    return drawn


def draw_all(summary: Any, chosen: Sequence[str], folder: Path) -> Iterator[Drawn]:
    """Draw and save figures; one without results is left out.

    The files of a figure that an earlier report drew and this one does not are removed: they show other results.
    """
    for name in chosen:
        drawn = draw(name, summary) if summary.collected.results else None
        if drawn:
            save(drawn, folder)
            yield drawn
        else:
            remove(name, folder)


def colour(cell: DeclaredCell) -> str:
    """A row's colour: of a method named in a baseline's name, else of its method."""
    return colour_of(cell.name.lower() if cell.role == "baseline" else "", cell.method)


def colour_of(name: str, method: str) -> str:
    """The colour of a row called `name` (may be empty) of `method`; an unknown method gets one by its letters."""
    for word in (name.split(" ")[0], method):
        for known in METHOD_COLOURS:
            if word and word.startswith(known):
                return METHOD_COLOURS[known]
    return OTHER_COLOURS[sum(method.encode()) % len(OTHER_COLOURS)]


def row_colours(rows: Sequence[Row]) -> list[str]:
    """A colour per row: its method's, in tones where several of the rows share it."""
    own = [colour(row.cell) for row in rows]
    tones = {tone: iter(shades(tone, own.count(tone))) for tone in own}
    return [next(tones[tone]) if own.count(tone) > 1 else tone for tone in own]


def shades(hexadecimal: str, count: int) -> list[str]:
    """`count` tones of a colour from light to dark, for the values of an axis."""
    red, green, blue = (int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, _, strength = colorsys.rgb_to_hls(red, green, blue)
    levels = [0.66 - 0.46 * i / max(1, count - 1) for i in range(count)] if count > 1 else [0.35]
    tones = [colorsys.hls_to_rgb(hue, level, min(strength, 0.65)) for level in levels]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in tone) for tone in tones]


def title_of(key: str) -> str:
    """What a method, a row or a dotted key is called in figures."""
    return TITLES.get(key) or key.rsplit(".", 1)[-1].replace("_", " ")


def row_title(row: Row) -> str:
    """A row's name in figures: of a cell its axis values, of a baseline its name."""
    if row.cell.role == "baseline" or not row.cell.values:
        return TITLES.get(row.cell.name) or row.cell.name[:1].upper() + row.cell.name[1:]
    if len(row.cell.values) == 1:
        return value_title(next(iter(row.cell.values.values())))
    return ", ".join(f"{SHORT.get(k, title_of(k))} {value_title(v)}" for k, v in row.cell.values.items())


def value_title(value: Any) -> str:
    """An axis value as a tick label."""
    return f"{value:g}" if isinstance(value, int | float) else str(value).replace("_", " ")


def sample_text(summary: Summary) -> str:
    """What a figure's numbers rest on: studies, patients, seeds."""
    studies = summary.collected.studies
    counts = sorted({row.entries[summary.main.key].found for row in summary.rows} - {0})
    seeds = "no" if not counts else f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    n = f"n = {studies.n_studies:,} test studies of {studies.n_patients:,} patients" if studies else "no test studies"
    return f"{n}; {seeds} seed{'' if seeds == '1' else 's'} each"


def repetitions_text(rows: Sequence[SpeedRow]) -> str:
    """How many repetitions the rows have."""
    counts = sorted({row.found for row in rows} - {0})
    return " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1]))) + (
        " repetition" if counts[-1] == 1 else " repetitions"
    )


def interval_text(summary: Summary) -> str:
    """What an interval in a figure means."""
    covers = {row.entries[summary.main.key].estimate.covers for row in summary.rows} - {""}
    over = "patients only" if covers == {"patients"} else "seeds and patients"
    return f"{summary.config.level:.0%} bootstrap intervals over {over}".replace("%", " %")


def footer(figure: Any, text: str) -> None:
    """A line of small print below a figure."""
    letters = int(figure.get_figwidth() * 72 / 3.6)
    wrapped = "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, letters))
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=6.5, color=MUTED)


def spread(wanted: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Places as near as possible to those wanted, in the same order, no two nearer than `gap`, between the limits.

    Where they do not all fit, the limits give way and not the gap.
    """

    def centre(group: Sequence[int]) -> float:
        reach = gap * (len(group) - 1) / 2
        middle = sum(wanted[place] for place in group) / len(group)
        return max(low + reach, min(high - reach, middle))

    def too_near(below: Sequence[int], above: Sequence[int]) -> bool:
        return centre(above) - centre(below) < gap * (len(above) + len(below)) / 2

    groups: list[list[int]] = []
    for place in sorted(range(len(wanted)), key=wanted.__getitem__):
        groups.append([place])
        while (
            len(groups) > 1 and centre(groups[-1]) - centre(groups[-2]) < gap * (len(groups[-1]) + len(groups[-2])) / 2
        ):
            last = groups.pop()
            groups[-1] += last
    placed = {
        place: centre(group) + gap * (i - (len(group) - 1) / 2) for group in groups for i, place in enumerate(group)
    }
    return [placed[place] for place in range(len(wanted))]


def label_right(axes: Any, labels: Sequence[tuple[float, str, str]], size: float = 7.0) -> None:
    """Labels (y, text, colour) right of the axes beside what they name, moved apart where they would overlap."""
    labels = [label for label in labels if math.isfinite(label[0])]
    low, high = axes.get_ylim()
    figure = axes.get_figure()
    # Points that the axes are high, less the constrained layout's margins, which are not known yet.
    height = figure.get_figheight() * 72 * 0.72 / axes.get_gridspec().nrows
    gap = 1.25 * size * (high - low) / height
    places = spread([y for y, _, _ in labels], gap, low, high)
    for (y, text, tone), place in zip(labels, places, strict=True):
        axes.annotate(
            text,
            xy=(1, y),
            xytext=(1.05, place),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=size,
            color=tone,
            arrowprops={"arrowstyle": "-", "color": tone, "lw": 0.6, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def plain_axes(axes: Any, which: str = "y") -> None:
    """A light grid along one direction."""
    axes.grid(True, axis=which)
    axes.tick_params(length=2.5)


def numeric_axes(summary: Summary) -> Mapping[str, tuple[float, ...]]:
    """The ablation's axes whose values are all numbers."""
    axes = summary.collected.plan.axes
    return {
        key: tuple(float(v) for v in values)
        for key, values in axes.items()
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    }
