"""The command line: its commands and options; what they do is in `commands`.

Everything heavy is imported inside the commands: `datamap --help` must answer at once.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datamap_cli.errors import DatamapError

if TYPE_CHECKING:
    from datamap_cli.config import Config

app = typer.Typer(
    name="datamap",
    help="Find the mislabelled, the ambiguous and the easy examples of a text data set.\n\n"
    "Fine-tune a classifier, collect what it thinks of every training example, and draw the data map: "
    "`train`, `summarize` and `plot`, or `run` for the three in a row.\n\n"
    "Start with `datamap init --example`, then `datamap run -c datamap.yaml`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a defect of ours crashes with a plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)

# the groups of `datamap --help`, shown in the order in which each is first used below
MAP, ACT, OWN, SETUP = "The map", "Act on it", "Bring your own", "Set up"

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "-c", "--config", help="The YAML file; `datamap init` writes one.", metavar="FILE", show_default=False
    ),
]
RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        help="The run's directory, over the file's `run_dir`; without -c, the config.yaml in it serves.",
        metavar="DIR",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Override one key of the YAML: train.epochs=3. Repeatable.",
        metavar="KEY=VALUE",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in the run directory.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that is there from its newest checkpoint.")]
NoPng = Annotated[bool, typer.Option("--no-png", help="Write the HTML only; needs no browser.")]


def _version(show: bool) -> None:
    if show:
        from datamap_cli import __version__

        typer.echo(f"datamap {__version__}")
        raise typer.Exit


@app.callback()
def _datamap(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


# -------------------------------------------------------------------------------------------- commands


@app.command(rich_help_panel=MAP)
def train(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Fine-tune a classifier and collect the signals of every training example."""
    from datamap_cli.commands import train as command

    _refuse_both(overwrite, resume)
    command.train(_load(config, run_dir, overrides), overwrite=overwrite, resume=resume)
    _say_next("summarize", config, run_dir)


@app.command(rich_help_panel=MAP)
def summarize(config: ConfigFile = None, run_dir: RunDir = None, overrides: Overrides = None) -> None:
    """Condense the signals to one row per example: summary.tsv and summary.parquet."""
    from datamap_cli.commands import summarize as command

    command.summarize(_load(config, run_dir, overrides))
    _say_next("plot", config, run_dir)


@app.command(rich_help_panel=MAP)
def plot(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    attr1: Annotated[
        str | None, typer.Option(help="Signal on the y axis.", metavar="SIGNAL", show_default="avg_probs")
    ] = None,
    attr2: Annotated[
        str | None, typer.Option(help="Signal on the x axis.", metavar="SIGNAL", show_default="label_var")
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(help="Draw only examples whose value of this signal is at least --threshold.", metavar="SIGNAL"),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="The least value of --criterion.", show_default="0")] = None,
    where: Annotated[
        str | None,
        typer.Option(help="Draw only rows for which this SQL expression over the columns is true.", metavar="SQL"),
    ] = None,
    color_by: Annotated[str | None, typer.Option(help="Signal that colours the points.", metavar="SIGNAL")] = None,
    shape_by: Annotated[str | None, typer.Option(help="Signal that shapes the points.", metavar="SIGNAL")] = None,
    use_f_times: Annotated[
        int | None,
        typer.Option(
            "--use_f_times",
            "--use-f-times",
            help="Draw only examples forgotten at least so often, in classes of that count.",
        ),
    ] = None,
    use_l_times: Annotated[
        int | None,
        typer.Option(
            "--use_l_times",
            "--use-l-times",
            help="Draw only examples learnt at least so often, in classes of that count.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where to write: STEM.html and STEM.png; with the suffix .html, .png, .svg or .pdf that file alone.",
            metavar="STEM",
            show_default="maps/…",
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Draw this table, a row per example, with no run at all.", metavar="FILE"),
    ] = None,
    no_png: NoPng = False,
) -> None:
    """Draw the data map: interactive HTML, and PNG."""
    from datamap_cli.commands import plot as command

    options: dict[str, Any] = {
        "plot.attr1": attr1,
        "plot.attr2": attr2,
        "plot.criterion": criterion,
        "plot.threshold": threshold,
        "plot.where": where,
        "plot.color_by": color_by,
        "plot.shape_by": shape_by,
        "plot.use_f_times": use_f_times,
        "plot.use_l_times": use_l_times,
        "plot.formats": [] if no_png else None,
    }
    if summary is None:
        command.draw(_load(config, run_dir, overrides, options), output)
        _say_next("suspects", config, run_dir)
    else:
        command.draw_table(summary, _load(config, run_dir, overrides, options, needed=False), output)
        _say_next("plot", config, run_dir, "--summary", str(summary), "--color-by", "SIGNAL")


@app.command(rich_help_panel=ACT)
def suspects(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    score: Annotated[
        str | None,
        typer.Option(help="Signal to rank by.", metavar="SIGNAL", show_default="suspicion; without opinions avg_loss"),
    ] = None,
    top: Annotated[
        str, typer.Option(help="Rows to write: a fraction of all, 0.1 or 10%, or a number, 100.", metavar="N")
    ] = "10%",
    to: Annotated[
        str | None,
        typer.Option(
            help="Also write them as tasks of a labelling tool, whose export `datamap apply` takes as verdicts.",
            metavar="label-studio|argilla|doccano",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file for --to.", metavar="FILE")] = None,
) -> None:
    """List the examples that are probably mislabelled, with the suggested labels: suspects.tsv.

    `datamap signals` says which end of a signal is suspicious. How many
    labels are wrong is told by the audit of `datamap review --audit`, or
    before there is one, estimated by cleanlab, if it is installed.
    """
    from datamap_cli.commands import exchange
    from datamap_cli.commands import suspects as command

    exchange.refuse(to, output)
    resolved = _load(config, run_dir, overrides)
    command.rank(resolved, score, top)
    if to is not None and output is not None:
        exchange.write(resolved, to, output)
    _say_next("review", config, run_dir)


@app.command(rich_help_panel=ACT)
def selfcheck(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    flip: Annotated[
        str, typer.Option(help="Labels to flip: a fraction of all, 0.1 or 10%, or a number, 100.", metavar="N")
    ] = "10%",
    confusion: Annotated[
        bool,
        typer.Option(
            "--confusion",
            help="Flip towards the class that each is confused with most, as people do, not to any other: harder to "
            "find. Needs a run in the run directory, which is trained if there is none.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier check.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a check that was interrupted.")] = False,
    no_png: NoPng = False,
) -> None:
    """Measure how far the suspects can be trusted: flip labels, train, and see which signals find them.

    The flips are drawn with `train.seed`; your file stays as it is. The
    check is a run of its own, in RUN_DIR/selfcheck: a table, a JSON file,
    and the precision-recall curves.
    """
    from datamap_cli.commands import selfcheck as command

    _refuse_both(overwrite, resume)
    resolved = _load(config, run_dir, overrides, {"plot.formats": [] if no_png else None})
    command.measure(resolved, flip, confusion=confusion, overwrite=overwrite, resume=resume)
    _say_next("suspects", config, run_dir)


@app.command(rich_help_panel=ACT)
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="The data file, over the YAML's `data.train`.", metavar="FILE", show_default=False),
    ] = None,
    dev: Annotated[
        Path | None,
        typer.Option(help="A dev set of the same columns: do training texts stand in it?", metavar="FILE"),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where to write, without suffix: STEM.json and STEM.html.",
            metavar="STEM",
            show_default="check/FILE in the run directory; without -c, FILE.check here",
        ),
    ] = None,
    strict: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 1 if there is such a finding: bad-rows, conflicts, duplicates, near-duplicates, leaks, "
            "rare-classes, alike-classes, contradicted, or all. Repeatable.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Say what is wrong with a labelled file, in seconds: no training, no Paddle.

    Bad rows, the same text under different labels, duplicates, training
    texts in the dev set, classes that look alike, and labels that the
    other examples contradict. A report here, as JSON, and as HTML.
    """
    from datamap_cli.commands import check as command
    from datamap_cli.run import Run

    values: dict[str, Any] = {"data.train": None if file is None else str(file)}
    resolved = _load(config, None, overrides, values, needed=False)
    if resolved.data.train is None:
        raise DatamapError("no data file: give it, datamap check FILE, or a configuration that names it, -c FILE")
    if output is None:
        stem = resolved.data.train.stem
        output = Path(f"{stem}.check") if config is None else Run.check_in(resolved.run_dir, stem)
    command.check(resolved, dev or resolved.data.dev, output, strict or ())


@app.command(rich_help_panel=ACT)
def select(
    output: Annotated[Path, typer.Option(help="The file to write, in the format of the data file.", metavar="FILE")],
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    region: Annotated[
        str | None, typer.Option(help="Only rows of this region of the map: easy, ambiguous or hard.", metavar="REGION")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help="Only rows for which this SQL expression over the summary's columns is true, such as "
            '"forgetting_times >= 1 and avg_probs < 0.3".',
            metavar="SQL",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Signal, or SQL expression, that --top and --bottom rank by.", metavar="SIGNAL")
    ] = None,
    top: Annotated[
        str | None,
        typer.Option(help="The highest values of --by: a fraction, 0.1 or 10%, or a number of rows, 100.", metavar="N"),
    ] = None,
    bottom: Annotated[
        str | None, typer.Option(help="The lowest values of --by; with --top, both ends.", metavar="N")
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(help="Take --top and --bottom within each value of this column: label.", metavar="COLUMN"),
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Write the run's other rows instead, all but these.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Where the data file is now, if it was moved since the training.", metavar="FILE"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take the data file though it was changed since the training.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
) -> None:
    """Write rows of your data file, chosen by the map: bytes, columns and header as they are.

    --region and --where filter, both together if both are given; --top
    and --bottom then take their share of what the filters leave; --drop
    turns the result around. Ties are broken by id; rows without a value
    of --by are in neither end. The rows keep their order. The rule and
    the counts are written beside the file.
    """
    from datamap_cli.commands import select as command
    from datamap_cli.run import Run

    rule = command.rule(region=region, where=where, by=by, top=top, bottom=bottom, balance=balance, drop=drop)
    resolved = _load(config, run_dir, overrides)
    command.select(resolved, rule, output, data=data, force=force, overwrite=overwrite)
    again = config or Run.config_in(resolved.run_dir)
    if drop:
        _say_gain(resolved, again, data, output)
    else:  # the rows are a data set of their own, trained on into a directory of their own
        _say_next("run", again, Path("DIR"), "--set", f"data.train={output}")


@app.command(rich_help_panel=ACT)
def gain(
    files: Annotated[
        list[Path],
        typer.Argument(help="Data files, the one as it was first.", metavar="FILE FILE…", show_default=False),
    ],
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings on each file, from `train.seed` on.")] = 5,
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="Beside each file the first one with as many rows of each class dropped or relabelled at random.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="The directory to write to.", metavar="DIR", show_default="gain in the run directory"),
    ] = None,
    no_png: NoPng = False,
) -> None:
    """Train on each file and compare them on the dev set, `data.dev`: did cleaning pay, or was it chance?

    Accuracy and macro-F1 over the seeds, and the difference of each file
    to the first with an interval. Interrupted, the same command goes on:
    the outcome of every training is kept.
    """
    from datamap_cli.commands import gain as command
    from datamap_cli.run import Run

    resolved = _load(config, run_dir, overrides, {"plot.formats": [] if no_png else None})
    directory = output or Run.gain_in(resolved.run_dir)
    command.gain(resolved, files, seeds=seeds, control=control, directory=directory)
    if not control:
        again = [*map(str, files), "--seeds", str(seeds), "--control"]
        _say_next("gain", config, run_dir, *again)


@app.command(rich_help_panel=ACT)
def review(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="What to review: suspects, or a file of ids.",
            metavar="suspects|FILE",
            show_default="suspects",
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help="Rows for which this SQL expression over the summary's columns is true.", metavar="SQL"),
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only the first N.", metavar="N")] = None,
    audit: Annotated[
        int | None,
        typer.Option(min=1, help="A sample of N of all examples, to tell how many labels are wrong.", metavar="N"),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Your name, as the verdicts give it.", metavar="NAME", show_default="login name")
    ] = None,
) -> None:
    """Decide of the suspects one after another, here in the terminal: keep, relabel, drop.

    Every verdict is appended to RUN_DIR/verdicts.jsonl at once; begun
    again, it goes on. `datamap apply` makes your file of the verdicts.
    """
    from datamap_cli.commands import review as command
    from datamap_cli.run import Run

    resolved = _load(config, run_dir, overrides)
    command.review(resolved, source=source, where=where, top=top, audited=audit, reviewer=reviewer)
    found = str(Run.open(resolved.run_dir).verdicts)
    _say_next("apply", config, run_dir, found, "--output", "FILE")


@app.command(rich_help_panel=ACT)
def apply(
    output: Annotated[Path, typer.Option(help="The file to write, in the format of the data file.", metavar="FILE")],
    verdicts: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of verdicts, such as RUN_DIR/verdicts.jsonl.", metavar="VERDICTS…"),
    ] = None,
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    on_conflict: Annotated[
        str,
        typer.Option(
            help="Where reviewers contradict each other: error, keep the label, the latest verdict, or that of the "
            "majority, which keeps the label on a tie.",
            metavar="error|keep|latest|majority",
        ),
    ] = "error",
    drop_unsure: Annotated[
        bool, typer.Option("--drop-unsure", help="Also drop rows that all who saw are unsure of.")
    ] = False,
    accept_suggestions: Annotated[
        int,
        typer.Option(min=0, help="Also take the first N suggestions of suspects.tsv that no person saw.", metavar="N"),
    ] = 0,
    allow_new_classes: Annotated[
        bool, typer.Option("--allow-new-classes", help="Take new labels that are no class of the run.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Where the data file is now, if it was moved since the training.", metavar="FILE"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files that are there.")] = False,
) -> None:
    """Write your data file as reviewers decided: labels replaced, rows dropped, every other byte as it was.

    The last verdict of each reviewer on an example counts. Beside the
    file, FILE.changes.tsv lists every changed row, and FILE.changes.json
    tells what was made of what.
    """
    from datamap_cli.commands import apply as command
    from datamap_cli.run import Run

    options = command.Options(command.on_conflict(on_conflict), drop_unsure, accept_suggestions, allow_new_classes)
    resolved = _load(config, run_dir, overrides)
    command.apply(resolved, verdicts or [], output, options, data=data, overwrite=overwrite)
    _say_gain(resolved, config or Run.config_in(resolved.run_dir), data, output)


@app.command(rich_help_panel=ACT)
def compare(
    run_a: Annotated[Path, typer.Argument(help="The directory of a run.", metavar="RUN_A", show_default=False)],
    run_b: Annotated[
        Path,
        typer.Argument(
            help="That of another over the same ids, such as another seed.", metavar="RUN_B", show_default=False
        ),
    ],
    overrides: Overrides = None,
    arrows: Annotated[int, typer.Option(min=1, max=500, help="Arrows on the map: those that moved farthest.")] = 30,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where to write: STEM.json, .tsv, .html and .png; with one of these suffixes, or .svg or .pdf, that "
            "file alone.",
            metavar="STEM",
            show_default="RUN_A/maps/compare-…",
        ),
    ] = None,
    no_png: NoPng = False,
) -> None:
    """Compare two runs: rank correlation of each signal, who moved between regions, and a map with arrows.

    The axes are those of the map, `plot.attr1` and `plot.attr2`.
    """
    from datamap_cli.commands import compare as command

    config = _load(None, run_a, overrides, {"plot.formats": [] if no_png else None})
    command.compare(config, (run_a, run_b), output, arrows)
    _say_next("suspects", None, run_a)


@app.command(rich_help_panel=MAP)
def run(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    no_png: NoPng = False,
) -> None:
    """Train, summarize and plot, the three in a row."""
    from datamap_cli.commands import run as command

    _refuse_both(overwrite, resume)
    resolved = _load(config, run_dir, overrides, {"plot.formats": [] if no_png else None})
    command.run(resolved, overwrite=overwrite, resume=resume)
    _say_next("suspects", config, run_dir)


@app.command(name="import", rich_help_panel=OWN)
def import_dynamics(
    source: Annotated[Path, typer.Argument(help="The file or folder to import.", show_default=False)],
    run_dir: Annotated[
        Path, typer.Option("--run-dir", help="The run's directory, to be made.", metavar="DIR", show_default=False)
    ],
    format: Annotated[
        str | None,
        typer.Option(help="tutorial, cartography, table or arrays; recognized by content.", metavar="FORMAT"),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            help="Data set with the texts, by id: its column `data.id`, or without one its rows.", metavar="FILE"
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
) -> None:
    """Import training dynamics that were collected elsewhere; then summarize and plot them."""
    from datamap_cli import config as configuration
    from datamap_cli.commands import import_ as command

    values: dict[str, Any] = {"run_dir": str(run_dir)}
    if examples is not None:
        values["data.train"] = str(examples)
    command.import_dynamics(
        source, configuration.load(config, overrides or (), values), format, examples, overwrite=overwrite
    )
    _say_next("summarize", None, run_dir)


@app.command(rich_help_panel=SETUP)
def init(
    path: Annotated[Path, typer.Argument(help="The YAML file to write.", show_default=True)] = Path("datamap.yaml"),
    example: Annotated[
        bool, typer.Option("--example", help="Set it up for the bundled example data, copied beside it.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Also write datamap.schema.json beside it, for editors that check YAML.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write a commented configuration to start from."""
    from datamap_cli.commands import init as command

    command.init(path, example=example, schema=schema, overwrite=overwrite)


@app.command(name="signals", rich_help_panel=SETUP)
def list_signals(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown document.")] = False,
) -> None:
    """List every signal with its definition and source."""
    from datamap_cli import terminal

    if markdown:
        typer.echo(terminal.signals_markdown(), nl=False)
    else:
        terminal.print_signals()
        _say_next("plot", None, Path("DIR"), "--color-by", "SIGNAL")


@app.command(rich_help_panel=SETUP)
def doctor() -> None:
    """Check what is installed and works, and say how to mend what does not."""
    from datamap_cli import terminal
    from datamap_cli.doctor import examine

    if not terminal.print_checks(examine()):
        raise typer.Exit(1)
    _say_next("init", None, None, "--example")


def _say_next(command: str, config: Path | None, run_dir: Path | None, *arguments: str) -> None:
    """What usually comes next, with the configuration and the run directory that were given."""
    if os.environ.get("PADDLE_TRAINER_ID", "0") != "0":
        return  # of several processes one talks
    given = [*(["-c", str(config)] if config else []), *(["--run-dir", str(run_dir)] if run_dir else [])]
    typer.echo(f"next: {shlex.join(['datamap', command, *given, *arguments])}", err=True)


def _say_gain(resolved: Config, config: Path, before: Path | None, after: Path) -> None:
    """The line that would test whether the file that was written trains a better model than the one before it."""
    files = str(before or resolved.data.train or "FILE"), str(after)
    dev = [] if resolved.data.dev else ["--set", "data.dev=DEV_FILE"]
    _say_next("gain", config, None, *files, "--control", *dev)


def _refuse_both(overwrite: bool, resume: bool) -> None:
    if overwrite and resume:
        raise DatamapError("--resume goes on with a run, --overwrite replaces it; give one of them")


def _load(
    config: Path | None,
    run_dir: Path | None,
    overrides: Sequence[str] | None,
    options: dict[str, Any] | None = None,
    *,
    needed: bool = True,
) -> Config:
    """The configuration from the file, --set, and the options that were given; `needed`: there must be a file."""
    from datamap_cli import config as configuration

    values = {key: value for key, value in (options or {}).items() if value is not None}
    if run_dir is not None:
        values["run_dir"] = str(run_dir)
        if config is None:
            from datamap_cli.run import Run

            config = Run.config_in(run_dir)
            if not config.exists():
                raise DatamapError(f"{run_dir}: no run here (no {config.name}); give the configuration with -c FILE")
    if config is None and needed:
        raise DatamapError("no configuration: give one with -c FILE, or a run with --run-dir DIR")
    return configuration.load(config, overrides or (), values)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a mistake of the user's becomes one line and exit code 1."""
    code: int | str | None = 0
    try:
        app(args=arguments, prog_name="datamap")
    except DatamapError as error:
        typer.echo(f"datamap: {error}", err=True)
        code = error.exit_code
    except SystemExit as left:
        code = left.code
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1 and isinstance(code, int | None):
        # Paddle's connections between processes may abort while the interpreter takes them down
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)
