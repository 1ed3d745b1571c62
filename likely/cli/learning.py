"""`likely fit`: from data to a fitted directory with its report."""

import contextlib
import dataclasses
import os
import shlex
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likely.cli.options import (
    Augment,
    Device,
    FalseAlarmRate,
    Opening,
    Patch,
    Source,
    as_augment,
    as_pairs,
    as_patch,
    as_rate,
    as_seconds,
    opens_data,
)
from likely.cli.place import Place
from likely.cli.screen import duration, facts, progress, title
from likely.cli.started import seconds_so_far
from likely.errors import Interrupted, UserError

if TYPE_CHECKING:
    from likely.cli.screen import Bar
    from likely.data import Description
    from likely.data import Source as DataSource
    from likely.data.split import Split
    from likely.evaluation import Assessment
    from likely.fitted import Fitted
    from likely.fitting import Plan
    from likely.training import Progress, TrainConfig


RESERVED_SHARE, RESERVED_SECONDS, MOST_RESERVED = 0.5, 60.0, 600.0
"""What of a time limit is kept for calibration, evaluation and report: half of it where it is short, at least a tenth
where it is long, and a minute beside that."""

FIGURES_SHARE = 0.6
"""What of the time that is left once the model is saved goes to its figures; the report has the rest."""


@opens_data
def fit(
    context: typer.Context,
    source: Source,
    model: Annotated[str, typer.Option(help="Name of a model or preset; `likely models` lists them.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Where the fitted model goes.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Argument of the model; may be repeated.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training rows.")] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Of the whole command, in place of --epochs: 90, 60s, 5m, 1h.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest rate of the schedule.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the split, the order and all noise.")] = 0,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float64.")] = "auto",
    condition: Annotated[str | None, typer.Option(help="`label` gives the labels to the model.")] = None,
    patch: Patch = None,
    augment: Augment = None,
    binarize: Annotated[bool, typer.Option("--binarize", help="Draw gray pixels as bits, anew each time.")] = False,
    false_alarm_rate: FalseAlarmRate = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model in DIR, and start afresh.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue where an unfinished run stopped.")] = False,
    opening: Opening = Opening(),
) -> None:
    """Learn a model of data and write it with its report.

    Says what it saw and chose, shows progress, saves the model, judges it by rows that it never saw, and names the
    next commands. Interrupted, it keeps the state of the run in DIR.partial, or the model that is trained, for
    --resume.
    """
    place = Place(Path(os.path.abspath(out)), out.rstrip("/") or out, overwrite=overwrite, resume=resume)
    if place.settled():
        return
    from likely.registry import Spec
    from likely.training import TrainConfig
    from likely.training.plan import choose_device

    spec = Spec.parse(model, as_pairs(set_))
    spec.check()
    if condition not in (None, "label"):
        raise UserError(f"--condition {condition!r} is not known; give --condition label, or leave it out")
    given: dict[str, Any] = {"epochs": epochs, "time_limit": as_seconds(time_limit), "batch_size": batch_size}
    given |= {"learning_rate": learning_rate, "seed": seed, "device": device, "precision": precision}
    config = TrainConfig(**{name: value for name, value in given.items() if value is not None})
    choose_device(device)
    options = {**opening.options(), "patch": as_patch(patch), "augment": as_augment(augment)}
    job = Job(place, spec, source, config, options, condition, binarize, as_rate(false_alarm_rate, {}))
    args = context.find_root().obj
    with place.held():
        if place.settled():  # a run that was there a moment ago may have ended
            return
        place.begin()
        try:
            trained = job.train_again() if place.trained else job.train()
        except KeyboardInterrupt:
            raise Interrupted(place.interrupted(args)) from None
        try:
            job.evaluate(trained)
        except KeyboardInterrupt:
            raise Interrupted(place.interrupted_later(args)) from None
        except Exception:
            warnings.warn(place.kept, stacklevel=1)
            raise


@dataclass(frozen=True)
class Job:
    """One fit: everything that was asked for."""

    place: Place
    spec: Any
    source: str
    config: "TrainConfig"
    opening: dict[str, Any]
    condition: Any
    binarize: bool
    false_alarm_rate: float

    def train(self) -> "Trained":
        """Reads, trains and saves, saying so."""
        from likely.data import describe
        from likely.fitting import carry_out
        from likely.persistence import Checkpoints

        opened, plan = self._prepared()
        description = describe(opened, plan.recipe.schema, n_learned=_n_learned(plan.split))
        self._show_plan(plan, description)
        store = Checkpoints(self.place.partial)
        if not self.place.resume:
            store.clear()
        with progress("training") as bar:
            fitted = carry_out(plan, self.opening, store=store, on_progress=Teller(bar))
        fitted.info["false_alarm_rate"] = self.false_alarm_rate
        extras = {"history.csv": fitted.history.to_csv().encode()}
        fitted.save(self.place.path, extras=extras, overwrite=self.place.overwrite)
        store.clear()
        _show_training(fitted)
        return Trained(fitted, opened, plan.split, description)

    def train_again(self) -> "Trained":
        """What `train` gave in an earlier process, whose evaluation did not come to its end."""
        from likely.cli.judging import read_history
        from likely.cli.options import opened as open_model
        from likely.data import describe, open_source
        from likely.persistence import Checkpoints
        from likely.reopening import split_again

        fitted = open_model(str(self.place.path), self.config.device)
        fitted.history = read_history(str(self.place.path))
        opened = open_source(self.source, **self.opening)
        split = split_again(fitted.info, opened)
        if split is None:
            raise UserError(
                f"{self.source} is not, or no more, the data that {self.place.typed} learned; judge it by "
                f"the rows of that data: likely evaluate {self.place.typed}"
            )
        Checkpoints(self.place.partial).clear()
        return Trained(fitted, opened, split, describe(opened, fitted.schema, n_learned=_n_learned(split)))

    def _prepared(self) -> "tuple[DataSource, Plan]":
        from likely.cli.watched import watched
        from likely.data import open_source
        from likely.fitting import prepare

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what they say stands among the problems
            opened = open_source(self.source, **self.opening)
            with watched(opened, f"reading {self.source}") as rows:
                plan = prepare(self.spec, rows, train=self.config, condition=self.condition, binarize=self.binarize)
        config = dataclasses.replace(self.config, reserved=self._reserved())
        return opened, dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, source=opened, config=config))

    def _reserved(self) -> float:
        """Seconds of the time limit that are gone, and those that calibration, evaluation and report may need."""
        limit = self.config.time_limit
        if limit is None:
            return 0.0
        left = max(0.0, limit - seconds_so_far())
        return seconds_so_far() + min(RESERVED_SHARE * left, RESERVED_SECONDS + left / 10, MOST_RESERVED)

    def _until(self, share: float) -> float | None:
        """When that share of what is left of the time limit will be over; None without a limit."""
        limit = self.config.time_limit
        return None if limit is None else time.monotonic() + share * max(0.0, limit - seconds_so_far())

    def _show_plan(self, plan: "Plan", description: "Description") -> None:
        from likely.cli.looking import show_data
        from likely.training.plan import choose_device

        show_data(description, with_columns=False)
        sizes = ", ".join(f"{n:,} {part}" for part, n in plan.split.sizes().items() if n)
        labels = "given to the model" if self.condition else "for evaluation only, the model does not see them"
        device = choose_device(self.config.device)
        told = {
            "chosen": "; ".join(plan.chosen),
            "rows": f"{sizes} (seed {self.config.seed})",
            "labels": labels if plan.recipe.source.labels is not None else "",
            "p-values": "from the calibration rows" if plan.calibrate == "held-out" else "",
            "device": f"{device}" + (" (no CUDA device here)" if _no_cuda(self.config.device, device) else ""),
        }
        title(f"Model: {' '.join([self.spec.name, *(f'{k}={v}' for k, v in self.spec.arguments.items())])}")
        facts([(name, text) for name, text in told.items() if text])

    def evaluate(self, trained: "Trained") -> None:
        """Judges what was trained by the test rows, says so, and writes the files that tell of it."""
        from likely.assess.budget import TimeIsUp, stopped_at
        from likely.cli import results
        from likely.cli.card import model_card
        from likely.data.subset import Subset

        fitted, opened, split, where = trained.fitted, trained.opened, trained.split, self.place.typed
        assessment = results.assessed(
            fitted, Subset(opened, split.test), Subset(opened, split.train), until=self._until(FIGURES_SHARE)
        )
        self._add("metrics.json", results.metrics_of(assessment))
        self._add("README.md", model_card(fitted, trained.description, assessment, where))
        rate = as_rate(None, fitted.info)
        with contextlib.suppress(TimeIsUp), stopped_at(self._until(1.0)):
            page = results.report_of(fitted, opened, split.train, split.test, assessment, where, rate)
            self._add("report.html", page)
        results.show(assessment)
        for note in _notes(fitted, rate):
            print(f"\nNote: {note}")
        self._show_unfinished(assessment)
        results.show_files(where)
        results.show_next(results.next_commands(fitted, where, self.source))

    def _show_unfinished(self, assessment: "Assessment") -> None:
        """What the time limit left no time for, and how to have it."""
        where = shlex.quote(self.place.typed)
        if assessment.left_out:
            print(f"\nNote: the time limit left figures out; likely evaluate {where} measures them")
        if not (self.place.path / "report.html").exists():
            print(f"\nNote: the time limit left no time for the report; likely report {where} writes it")

    def _add(self, name: str, data: bytes) -> None:
        from likely.persistence import add_extra

        add_extra(self.place.path, name, data)


@dataclass(frozen=True)
class Trained:
    """A model that stands in its place, and the data that it learned."""

    fitted: "Fitted"
    opened: "DataSource"
    split: "Split"
    description: "Description"


def _n_learned(split: "Split") -> int:
    return len(split.train) + len(split.validation)


def _notes(fitted: "Fitted", false_alarm_rate: float) -> list[str]:
    """What a reader of p-values has to know."""
    calibration = fitted.calibration
    told = [] if calibration is None else [calibration.shortage(false_alarm_rate), calibration.noise_told()]
    return [note for note in told if note]


def _no_cuda(asked: str, device: Any) -> bool:
    return asked == "auto" and device.type == "cpu"


def _show_training(fitted: "Fitted") -> None:
    history = fitted.history
    endings = {
        "schedule": "to the end of the schedule",
        "early": "until the validation rows gained nothing more",
        "closed form": "solved at once, on training and validation rows",
    }
    steps = f"{history.total_steps:,} steps of {history.batch_size:,} rows" if history.total_steps else ""
    best = f"those of step {history.best_step:,}" if history.total_steps else ""
    told = {
        "took": f"{duration(history.seconds)}, {endings.get(history.stopped, history.stopped)}",
        "layers": _layers_of(history.rows),
        "steps": steps,
        "weights": best,
        "precision": "; ".join(history.notes) or history.precision,
        "warning": "; ".join(history.warnings),
    }
    title("Training")
    facts([(name, text) for name, text in told.items() if text])


def _layers_of(rows: Sequence[Mapping[str, float]]) -> str:
    """What layers gained that were trained by themselves before the whole; empty where there were none."""
    told = []
    for number in sorted({row["layer"] for row in rows if "layer" in row}):
        errors = [row["validation"] for row in rows if row.get("layer") == number and "validation" in row]
        told.append(f"{number:g}: {errors[0]:.3g} to {min(errors):.3g}" if errors else f"{number:g}")
    return f"each by itself first, its error {', '.join(told)}" if told else ""


class Teller:
    """Shows the progress of a training on a bar."""

    def __init__(self, bar: "Bar") -> None:
        self.bar = bar

    def __call__(self, now: "Progress") -> None:
        """Where the run is: the step, the newest objectives."""
        objectives = [f"{name} {now.row[name]:.4g}" for name in ("train", "validation") if name in now.row]
        self.bar.update(now.step, now.total_steps or None, ", ".join(objectives), doing=now.doing, left=now.remaining)
