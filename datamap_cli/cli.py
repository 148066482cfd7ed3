"""The commands: parse, compose the rooms, print.

Everything heavy is imported inside the commands: `datamap --help` must answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datamap_cli.errors import DatamapError

if TYPE_CHECKING:
    from datamap_cli.config import Config
    from datamap_cli.plot import DataMap

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


@app.command()
def train(
    config: ConfigFile = None, run_dir: RunDir = None, overrides: Overrides = None, overwrite: Overwrite = False
) -> None:
    """Fine-tune a classifier and collect the signals of every training example."""
    _train(_load(config, run_dir, overrides), overwrite=overwrite)


@app.command()
def summarize(config: ConfigFile = None, run_dir: RunDir = None, overrides: Overrides = None) -> None:
    """Condense the signals to one row per example: summary.tsv and summary.parquet."""
    _summarize(_load(config, run_dir, overrides))


@app.command()
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
            help="Where to write, without suffix: STEM.html and STEM.png.", metavar="STEM", show_default="maps/…"
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Draw this table, a row per example, with no run at all.", metavar="FILE"),
    ] = None,
    no_png: NoPng = False,
) -> None:
    """Draw the data map: interactive HTML, and PNG."""
    options: dict[str, Any] = {
        "plot.attr1": attr1,
        "plot.attr2": attr2,
        "plot.criterion": criterion,
        "plot.threshold": threshold,
        "plot.use_f_times": use_f_times,
        "plot.use_l_times": use_l_times,
        "plot.png": False if no_png else None,
    }
    if summary is None:
        _plot_run(_load(config, run_dir, overrides, options), output)
    else:
        _plot_table(summary, _load(config, run_dir, overrides, options, needed=False), output)


@app.command()
def run(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_png: NoPng = False,
) -> None:
    """Train, summarize and plot, the three in a row."""
    from datamap_cli import plot as drawing
    from datamap_cli import signals

    resolved = _load(config, run_dir, overrides, {"plot.png": False if no_png else None})
    # before hours of training, not after
    drawing.check_signals(resolved.plot, ["label", "s_label", *(signal.name for signal in signals.SIGNALS)])
    _train(resolved, overwrite=overwrite)
    _summarize(resolved)
    _plot_run(resolved, None)


@app.command(name="import")
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

    values: dict[str, Any] = {"run_dir": str(run_dir)}
    if examples is not None:
        values["data.train"] = str(examples)
    _import(source, configuration.load(config, overrides or (), values), format, examples, overwrite=overwrite)


@app.command()
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
    from datamap_cli import config as configuration
    from datamap_cli import examples, store

    values: dict[str, Any] = {"data.train": "data/train.tsv"}
    files: dict[Path, str] = {}
    if example:
        data = path.with_name(examples.PATH.name)
        values = {**examples.SETTINGS, "data.train": str(data)}
        files[data] = examples.PATH.read_text(encoding="utf-8")
    if schema:
        files[path.with_name("datamap.schema.json")] = configuration.json_schema()
    files[path] = configuration.template(values, schema="datamap.schema.json" if schema else None)
    existing = [str(file) for file in files if file.exists()]
    if existing and not overwrite:
        raise DatamapError(f"{', '.join(existing)}: there already; give another path, or --overwrite to replace it")
    for file, content in files.items():
        store.write_bytes(file, content.encode())
        typer.echo(file)
    talk = f"next: datamap run -c {path}" if example else f"next: set data.train in {path}, then datamap run -c {path}"
    typer.echo(talk, err=True)


@app.command(name="signals")
def list_signals(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown document.")] = False,
) -> None:
    """List every signal with its definition and source."""
    from datamap_cli import terminal

    if markdown:
        typer.echo(terminal.signals_markdown(), nl=False)
    else:
        terminal.print_signals()


@app.command()
def doctor() -> None:
    """Check what is installed and works, and say how to mend what does not."""
    from datamap_cli import terminal
    from datamap_cli.doctor import examine

    if not terminal.print_checks(examine()):
        raise typer.Exit(1)


# ----------------------------------------------------------------------------------------- composition


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
            config = run_dir / "config.yaml"
            if not config.exists():
                raise DatamapError(f"{run_dir}: no run here (no config.yaml); give the configuration with -c FILE")
    if config is None and needed:
        raise DatamapError("no configuration: give one with -c FILE, or a run with --run-dir DIR")
    return configuration.load(config, overrides or (), values)


def _train(config: Config, *, overwrite: bool) -> None:
    from datamap_cli import dataset, store, terminal, train
    from datamap_cli.recorder import SignalRecorder

    store.Run.refuse_existing(config.run_dir, overwrite=overwrite)
    data = dataset.load(config.data)
    for text in data.notes:
        terminal.note(text)
    terminal.note(f"{data.examples.height:,} examples, {len(data.classes)} classes; loading Paddle …")
    display = terminal.TrainingDisplay()
    recorder: SignalRecorder | None = None
    with display.shown():
        for event in train.run(config, data.examples, data.classes):
            display.show(event)
            match event:
                case train.Started():
                    # only now: what went wrong until here has cost no earlier run
                    recorder = SignalRecorder(
                        config.run_dir,
                        examples=data.examples,
                        classes=data.classes,
                        overwrite=overwrite,
                        format=config.signals.format,
                        config=config,
                        origin=store.Origin(
                            "train", str(data.path), data.sha256, model=config.model.name, seed=config.train.seed
                        ),
                    )
                case train.Evaluation():
                    assert recorder is not None
                    recorder.record(step=event.step, ids=data.examples["id"], logits=event.logits)
                    recorder.finish_evaluation(epoch=event.epoch, train_loss=event.train_loss, seconds=event.seconds)
                case train.Trained():
                    assert recorder is not None
                    recorder.finish(event.save)
    typer.echo(f"signals: {config.run_dir / 'signals'}")


def _import(source: Path, config: Config, format: str | None, texts: Path | None, *, overwrite: bool) -> None:
    from datamap_cli import dataset, dynamics, store, terminal
    from datamap_cli.recorder import SignalRecorder

    store.Run.refuse_existing(config.run_dir, overwrite=overwrite)
    imported = dynamics.read(source, format, incomplete="drop" if config.summarize.incomplete == "drop" else "error")
    for text in imported.notes:
        terminal.note(text)
    given = ("id", "label", "s_label", "text_a", "text_b")
    first = imported.evaluations[0].examples
    examples = first.select(name for name in given if name in first.columns)
    if texts is not None:
        known = dataset.load_texts(config.data)
        examples = (
            examples.select("id", "label", "s_label")
            .with_columns(key=examples["id"].cast(str))
            .join(
                known.select("text_a", "text_b", key=known["id"].cast(str)), on="key", how="left", maintain_order="left"
            )
        )
        missing = int(examples["text_a"].null_count())
        if missing:
            terminal.note(f"{texts}: no text for {missing:,} of {examples.height:,} examples")
    origin = store.Origin(f"import {imported.format}", str(source.resolve()), store.sha256(source))
    with SignalRecorder(
        config.run_dir,
        examples=examples,
        classes=imported.classes,
        overwrite=overwrite,
        format=config.signals.format,
        config=config,
        origin=origin,
    ) as recorder:
        for evaluation in imported.evaluations:
            extra = {name: evaluation.examples[name].to_numpy() for name in first.columns if name not in given}
            recorder.record(step=evaluation.step, ids=evaluation.examples["id"], probs=evaluation.probs, extra=extra)
            recorder.finish_evaluation()
    terminal.note(
        f"{imported.format}: {examples.height:,} examples, {len(imported.classes)} classes, "
        f"{len(imported.evaluations)} evaluations"
    )
    typer.echo(f"signals: {config.run_dir / 'signals'}")


def _summarize(config: Config) -> None:
    from datamap_cli import signals, store, terminal

    run = store.Run.open(config.run_dir)
    if run.info.finished is None:
        terminal.note(f"{config.run_dir}: the training was not finished; summarizing what there is")
    with ExitStack() as stack:
        scratch = stack.enter_context(run.scratch())
        options: dict[str, Any] = {}
        if config.summarize.scheduler is not None:
            from datamap_cli import cluster

            client = stack.enter_context(cluster.client(config.summarize.scheduler))
            options = {"blockwise": cluster.Workers(client), "block": cluster.BLOCK}
        paths = signals.write_summary(
            run.write_summary,
            run.evaluations(scratch),
            scratch,
            el2n_evaluations=config.summarize.el2n_evaluations,
            incomplete=config.summarize.incomplete,
            **options,
        )
    terminal.print_summary(run.scan_summary(), run.scan_examples(), run.info.classes)
    typer.echo()
    for path in paths:
        typer.echo(f"summary: {path}")


def _plot_run(config: Config, output: Path | None) -> None:
    from datamap_cli import plot as drawing
    from datamap_cli import store

    run = store.Run.open(config.run_dir)
    summary = run.scan_summary().collect()
    data_map = drawing.draw(
        summary,
        config.plot,
        title=f"Data map: {run.title}",
        evaluations=len(run.info.evaluations),
        examples=run.texts(summary["id"]),
        classes=run.info.classes,
    )
    _write_map(data_map, *(run.map_files(config.plot) if output is None else store.map_files(output)), config)


def _plot_table(summary: Path, config: Config, output: Path | None) -> None:
    from datamap_cli import plot as drawing
    from datamap_cli import store

    table = store.read_summary(summary)
    labels = [name for name in ("label", "pred_label", "suggested_label") if name in table.columns]
    data_map = drawing.draw(
        table.drop(labels),  # class names are not known
        config.plot,
        title=f"Data map: {summary.name}",
        evaluations=None,
        examples=None,
        classes=[],
    )
    _write_map(data_map, *store.map_files(output or summary.with_suffix("")), config)


def _write_map(data_map: DataMap, html: Path, png: Path, config: Config) -> None:
    from datamap_cli import plot as drawing
    from datamap_cli import store, terminal

    store.write_bytes(html, drawing.page(data_map).encode())
    typer.echo(f"map: {html}")
    if not config.plot.png:
        return
    if (remedy := drawing.missing_fonts(data_map)) is not None:
        terminal.note(remedy)
    try:
        image = drawing.image(data_map)
    except DatamapError as error:
        terminal.note(f"no PNG: {error}")
        return
    store.write_bytes(png, image)
    typer.echo(f"map: {png}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a mistake of the user's becomes one line and exit code 1."""
    try:
        app(args=arguments, prog_name="datamap")
    except DatamapError as error:
        typer.echo(f"datamap: {error}", err=True)
        sys.exit(1)
