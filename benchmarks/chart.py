"""From rows to a picture: one group of bars a case, one bar a contestant."""

from . import results

COLOURS = {"jax": "#4c78a8", "tensorflow": "#f58518", "torch": "#54a24b"}
NAMES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
CONTESTANTS = {
    "keras_gen": "keras-gen",
    "keras": "stock Keras",
    "native": "native",
    "tuned": "native, our settings",
}
COLUMNS = 2
BAR_INCHES, PANEL_INCHES, MARGIN_INCHES, PANEL_WIDTH_INCHES = 0.22, 0.6, 0.9, 7.0


def draw(rows, path):
    """Draws ms a step of every contestant of every case; shorter bars are better.

    Args:
        rows: of `results.read`; points of curves are left out.
        path: of the PNG.

    Raises:
        ValueError: there is nothing to draw.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    races = [race for race in results.races(rows) if race.key["scaling"] is None]
    if not races:
        raise ValueError("no case was measured: there is nothing to draw")
    columns = min(COLUMNS, len(races))
    lines = [races[first : first + columns] for first in range(0, len(races), columns)]
    heights = [max(len(race.entries) for race in line) for line in lines]
    figure, panels = pyplot.subplots(
        len(lines),
        columns,
        squeeze=False,
        figsize=(
            PANEL_WIDTH_INCHES * columns,
            MARGIN_INCHES + sum(PANEL_INCHES + BAR_INCHES * height for height in heights),
        ),
        height_ratios=heights,
        layout="constrained",
    )
    for panel in panels.flat[len(races) :]:
        panel.axis("off")
    for panel, race in zip(panels.flat, races, strict=False):
        _panel(panel, race)
    handles = [Patch(color=COLOURS[backend], label=name) for backend, name in NAMES.items()]
    handles += [
        Patch(facecolor="#555555", label="keras-gen: full colour"),
        Patch(facecolor="#dddddd", edgecolor="#555555", label="others: pale"),
        Line2D([], [], color="#333333", linewidth=0.8, label="fastest to slowest round"),
    ]
    about = races[0].rows[0]
    figure.suptitle(
        "Milliseconds a train step: shorter is faster\n"
        f"{about['processor']}, {about['device']}, threads: {about['threads']}, float32",
        fontsize=12,
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _panel(panel, race):
    entries = sorted(race.entries, key=race.median)
    for place, entry in enumerate(entries):
        values = race.values(entry, "step_ms").values()
        middle, colour = race.median(entry), COLOURS[entry.backend]
        ours = entry.contestant == "keras_gen"
        panel.barh(
            place,
            middle,
            color=colour if ours else f"{colour}44",
            edgecolor=colour,
            xerr=[[middle - min(values)], [max(values) - middle]],
            error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
        )
        panel.annotate(
            f"{middle:.3g}",
            (max(values), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            weight="bold" if ours else "normal",
        )
    panel.set_yticks(range(len(entries)), [_label(entry) for entry in entries], fontsize=8)
    for label, entry in zip(panel.get_yticklabels(), entries, strict=True):
        label.set_weight("bold" if entry.contestant == "keras_gen" else "normal")
    panel.invert_yaxis()
    panel.margins(x=0.12)
    panel.spines[["top", "right"]].set_visible(False)
    steps = race.key["steps_per_call"]
    title = race.key["case"] + (f", {steps} steps a call" if steps > 1 else "")
    panel.set_title(title, loc="left", fontsize=11, weight="bold")


def _label(entry):
    mode = entry.mode.replace("_", " ")
    return f"{NAMES[entry.backend]}: {CONTESTANTS[entry.contestant]}, {mode}"
