"""`Fitted`: a model with the schema it learned and its calibration.

Everything that enters and leaves is in the caller's own terms. The way of the data is one line: source, schema,
model, schema, answer.
"""

import contextlib
import copy
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from likely import persistence
from likely.chain_rule import Gap, where
from likely.contract import (
    Batch,
    Decoder,
    Density,
    DrawsMissing,
    Encoder,
    Model,
    Operator,
    Reconstructor,
    Restorer,
    Sampler,
    Sequential,
    TakesMissing,
)
from likely.corruptions import Corruption
from likely.corruptions import Operator as DrawnOperator
from likely.data import Rows, Schema, Source, open_source
from likely.data.remains import completed_rows, read_remains, restored_to_rows, spread_to_rows
from likely.errors import DataError, Unsupported, UserError
from likely.registry import MODELS, Spec, model_class
from likely.rng import restart, stream, torch_draws, uniform
from likely.tasks import Calibration, Measure, how_estimated, log_density, measure_of, surprise
from likely.tasks.restoration import channels_left, draw_restorations, restore
from likely.training import History

CHUNK_VALUES = 2_000_000
MAX_CHUNK = 2048
"""Rows are answered so many values, and at most so many rows, at a time."""

DEFAULT_FALSE_ALARM_RATE = 0.05


@dataclass(frozen=True)
class Scores:
    """How unlikely rows are.

    Attributes:
        surprise: (n,), larger is stranger; nats where `measure` is a log-probability or a bound of one.
        p_value: (n,), the share of rows like those of the fit that surprise at least as much; NaN where the model
            was not calibrated.
        is_novel: (n,) bool, flagged at `false_alarm_rate`.
        measure: what kind of number the surprise is.
        false_alarm_rate: the share of ordinary rows that is flagged.
        note: what a reader has to know, or empty.
    """

    surprise: np.ndarray
    p_value: np.ndarray
    is_novel: np.ndarray
    measure: Measure
    false_alarm_rate: float
    note: str = ""


@dataclass
class Fitted:
    """A fitted model and what it knows of its data. Made by `likely.fit` and `likely.load`.

    Attributes:
        model: the torch module.
        spec: its name and arguments.
        schema: what the data is.
        calibration: surprises of rows held out, or None.
        info: how it came about: JSON-able.
        history: of the training; empty after `load`.
    """

    model: Model
    spec: Spec
    schema: Schema
    calibration: Calibration | None = None
    info: dict[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=History)

    # What it says.

    @property
    def measure(self) -> Measure:
        """The kind of number that `score` gives."""
        return measure_of(self.model)

    @property
    def continuous(self) -> bool:
        """Whether the model's density is over a continuum, so that whole values are dequantized for it."""
        return isinstance(self.model, Density) and not self.model.discrete

    @property
    def density_mark(self) -> str:
        """ "=" if log p is exact, "~" if an estimate, "<=" if a bound: of the model, or by dequantization."""
        if self.measure in (Measure.ESTIMATE, Measure.ENERGY):
            return "~"
        exact = self.measure is Measure.EXACT and not self.schema.is_random(self.continuous)
        return "=" if exact else "<="

    def score(
        self,
        rows: Any,
        *,
        condition: Any = None,
        false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
        n_samples: int | None = None,
    ) -> Scores:
        """How unlikely each row is, with a p-value and a flag.

        Args:
            rows: like those of the fit: array, DataFrame, path or source.
            condition: labels of the rows, for a model that was fitted with them.
            false_alarm_rate: the share of ordinary rows that may be flagged.
            n_samples: importance samples where the density is known by a bound (16 by default), random lines where it
                is an estimate (2).

        Returns:
            The scores.

        Raises:
            DataError: if the rows are not like those of the fit; names the row and the column.
            Unsupported: if the model cannot judge rows.
        """
        numbers = self.surprise(rows, condition=condition, n_samples=n_samples)
        about = how_estimated(self.model, n_samples)
        if self.calibration is None:
            unknown = np.full(len(numbers), np.nan)
            none = np.zeros(len(numbers), bool)
            note = _joined_notes("the model was not calibrated", about)
            return Scores(numbers, unknown, none, self.measure, false_alarm_rate, note)
        p_value = self.calibration.p_value(numbers)
        note = _joined_notes(self.calibration.shortage(false_alarm_rate), about)
        is_novel = numbers > self.calibration.threshold(false_alarm_rate)
        return Scores(numbers, p_value, is_novel, self.measure, false_alarm_rate, note)

    def surprise(self, rows: Any, *, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """The surprise of each row alone: (n,) float64; densities in the caller's units."""
        in_model = self._answer(
            rows, condition, lambda x, c: surprise(self.model, x, c, n_samples=n_samples), with_log_det=-1
        )
        return in_model.astype(np.float64)

    def log_prob(self, rows: Any, *, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """log p of each row in nats, a density in the caller's units or a probability of whole values.

        `density_mark` says whether it is exact, a bound or an estimate.

        Returns:
            (n,) float64.

        Raises:
            Unsupported: if the model knows no density.
        """
        if not self.measure.is_density:
            log_density(self.model, torch.empty(0))  # says which models have one
        in_model = self._answer(
            rows, condition, lambda x, c: log_density(self.model, x, c, n_samples=n_samples), with_log_det=1
        )
        return in_model.astype(np.float64)

    # What it makes of rows.

    def encode(self, rows: Any, *, condition: Any = None) -> np.ndarray:
        """The code of each row: (n, *z_shape)."""
        model = self.capable(Encoder, "encode")
        return self._answer(rows, condition, model.encode)

    def decode(self, z: Any, *, condition: Any = None) -> Rows:
        """The mean of a row given its code z (n, *z_shape), in the caller's units."""
        model = self.capable(Decoder, "decode")
        codes = torch.as_tensor(np.asarray(z), dtype=self._dtype)
        with self._answering():
            pieces = [
                model.decode(codes[ids].to(self._device), self._condition(condition, ids)).cpu()
                for ids in self._chunks(len(codes))
            ]
        return self.schema.to_rows(torch.cat(pieces), draws=False)

    def reconstruct(self, rows: Any, *, condition: Any = None) -> Rows:
        """Each row through the code and back, in the caller's units; means, so not rounded."""
        return self.schema.to_rows(self.see_again(rows, condition=condition), draws=False)

    def sample(
        self,
        n: int,
        *,
        condition: Any = None,
        seed: int = 0,
        temperature: float = 1.0,
        on_progress: Callable[[float], None] | None = None,
    ) -> Rows:
        """New rows: real draws from the model, in the caller's units and type.

        Args:
            n: how many.
            condition: n labels, for a model that was fitted with them; by default as often as they were seen.
            seed: which draws.
            temperature: of a model that draws value after value: below 1 likelier rows, above 1 more various ones;
                only at 1 are they draws from the model.
            on_progress: told the share that is done, from 0 to 1.

        Raises:
            Unsupported: if the model does not sample, or knows no temperature.
            UserError: if `temperature` is not positive.
        """
        drawn = self.see_samples(n, condition=condition, seed=seed, temperature=temperature, on_progress=on_progress)
        return self.schema.to_rows(drawn, draws=True)

    def restore(self, y: Any, operator: Operator | Corruption | None = None, *, condition: Any = None) -> Rows:
        """What rows were before something happened to them, in the caller's units; means, so not rounded.

        Args:
            y: what is left of rows, in their units: noise may leave their range, NaN (null) is what is missing,
                images may be of any size, and gray where that is what happened. Images whose sizes differ come one
                by one. In image files transparent pixels are missing. A model that only fills in what is missing
                leaves all else as it is, to the last digit.
            operator: what happened: a corruption, such as `likely.corruptions.Downsampling(2)`, or an operator that
                was drawn for these very rows as the model sees them. By default what is missing was erased, and
                where nothing is missing, that happened which the model learned to undo.
            condition: labels of the rows, for a model that was fitted with them.

        Raises:
            DataError: if y is nothing that could be left of rows like those of the fit.
            Unsupported: if the model does not restore.
        """
        model = self.capable(Restorer, "restore")
        source = y if isinstance(y, Source) else open_source(y)
        pieces = []
        with self._answering():
            for ids, left, given in self._remains(source, condition, channels_left(model, operator)):
                own = operator.rows(slice(ids[0], ids[-1] + 1)) if isinstance(operator, DrawnOperator) else operator
                with self._naming_gaps(ids):
                    pieces.append(restore(model, left, own, given).cpu())
        restored = _joined(pieces, source)
        if isinstance(model, DrawsMissing):
            return completed_rows(self.schema, restored, source, draws=False)
        return restored_to_rows(self.schema, restored)

    def draw_restorations(self, y: Any, n_samples: int = 10, *, condition: Any = None, seed: int = 0) -> list[Rows]:
        """Rows with what is missing drawn from what it could be given the rest: multiple imputation.

        Args:
            y: rows in their units, NaN (null) where something is missing; in image files transparent pixels are.
            n_samples: how many versions.
            condition: labels of the rows, for a model that was fitted with them.
            seed: which draws.

        Returns:
            n_samples times the rows, whole: what is there as it is, whole columns whole.

        Raises:
            DataError: if y is nothing that could be left of rows like those of the fit.
            Unsupported: if the model fills in nothing, or by its best guess only.
        """
        source = y if isinstance(y, Source) else open_source(y)
        pieces = [draws.cpu() for draws in self._drawn(source, n_samples, condition, seed)]
        if not pieces:
            raise DataError(f"{source.name} has no rows")
        return [completed_rows(self.schema, x, source, draws=True) for x in torch.cat(pieces, 1)]

    def restoration_spread(self, y: Any, n_samples: int = 100, *, condition: Any = None, seed: int = 0) -> Rows:
        """How uncertain each value is that `restore` fills in: its standard deviation over draws.

        Args:
            y: as `draw_restorations`.
            n_samples: how many draws; with 100 a standard deviation is known to a fourteenth.
            condition: labels of the rows, for a model that was fitted with them.
            seed: which draws.

        Returns:
            Rows of standard deviations, in the units of the rows; 0 of what is there.

        Raises:
            DataError: as `draw_restorations`, or if there are categories.
            UserError: if `n_samples` is smaller than 2.
        """
        if n_samples < 2:
            raise UserError(f"a standard deviation needs 2 draws or more, got n_samples={n_samples}")
        source = y if isinstance(y, Source) else open_source(y)
        pieces = [draws.double().std(0).cpu() for draws in self._drawn(source, n_samples, condition, seed)]
        return spread_to_rows(self.schema, _joined(pieces, source))

    # The same, as the model sees it: what evaluation compares.

    def see(self, rows: Any) -> Tensor:
        """Rows as the model takes them: (n, *x_shape)."""
        return self._answer_tensor(rows, None, lambda x, condition: x)

    def see_again(self, rows: Any, *, condition: Any = None) -> Tensor:
        """Reconstructions as the model gives them: (n, *x_shape)."""
        return self._answer_tensor(rows, condition, self.capable(Reconstructor, "reconstruct").reconstruct)

    def see_samples(
        self,
        n: int,
        *,
        condition: Any = None,
        seed: int = 0,
        temperature: float = 1.0,
        on_progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """Draws as the model gives them: (n, *x_shape)."""
        model = self.capable(Sampler, "sample")
        if temperature != 1:
            self.capable(Sequential, "draw at a temperature")
        if not temperature > 0:
            raise UserError(f"temperature must be positive, got {temperature}")
        tell = on_progress or (lambda share: None)
        pieces: list[Tensor] = []
        with self._answering():
            restart(seed, "sample")
            for ids in self._chunks(n):
                watch = partial(_tell_share, tell, n, int(ids[0]), len(ids))
                own = self._condition(condition, ids)
                if isinstance(model, Sequential):
                    drawn = model.draw(len(ids), own, temperature=temperature, on_step=watch)
                else:
                    drawn = model.sample(len(ids), own)
                pieces.append(drawn.cpu())
                watch(1, 1)
        return torch.cat(pieces)

    # For what asks the model more than one thing at once: `likely.exploring`.

    def batch(self, rows: Any, *, condition: Any = None) -> Batch:
        """Rows as the model takes them, where it lives: x (n, *x_shape), and their condition if it takes one."""
        source = rows if isinstance(rows, Source) else open_source(rows)
        labels = self._labels(source, condition)
        x = self._answer_tensor(source, labels, lambda x, condition: x)
        return Batch(x.to(self._device), self.condition(labels, len(x)))

    def condition(self, labels: Any, n: int) -> Tensor | None:
        """n labels as the model takes them: (n, *condition_shape), or None where there are none.

        Raises:
            DataError: if one was not seen at fit; names the classes.
            Unsupported: if there are labels, and the model was fitted without.
        """
        return self._condition(labels, np.arange(n))

    def ask(self, question: Callable[[], Tensor]) -> Tensor:
        """What a question about the model comes to, asked in evaluation mode and without gradients."""
        with self._answering():
            return question().cpu()

    # Where it lives.

    def save(
        self, path: str | os.PathLike[str], *, extras: Mapping[str, bytes] | None = None, overwrite: bool = False
    ) -> None:
        """Writes a fitted directory, whole or not at all.

        Args:
            path: of the directory, which must not be there.
            extras: further files by name: metrics.json, history.csv, README.md, report.html.
            overwrite: replaces a fitted directory that is there.

        Raises:
            UserError: if something is there, or cannot be written; says what mends it.
        """
        persistence.save(
            path,
            model=self.model,
            spec=self.spec,
            schema=self.schema,
            calibration={} if self.calibration is None else self.calibration.to_json(),
            info=self.info,
            extras=extras or {},
            overwrite=overwrite,
        )

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "Fitted":
        """A copy whose model lives elsewhere or computes in another precision."""
        moved = copy.copy(self)
        moved.model = copy.deepcopy(self.model).to(device=device, dtype=dtype)
        return moved

    # How an answer comes about.

    @property
    def _device(self) -> torch.device:
        return self._some_tensor.device

    @property
    def _dtype(self) -> torch.dtype:
        return self._some_tensor.dtype

    @property
    def _some_tensor(self) -> Tensor:
        return next(iter(self.model.state_dict().values()))

    def capable(self, capability: type, verb: str) -> Any:
        """The model, where it has a capability of the contract; raises Unsupported, naming those that have, else."""
        if isinstance(self.model, capability):
            return self.model
        able = ", ".join(name for name in MODELS if issubclass(model_class(name), capability)) or "none yet"
        raise Unsupported(f"{self.spec.name} cannot {verb}; models that can: {able}")

    def _chunks(self, n: int, n_values: int = 0) -> Iterator[np.ndarray]:
        size = max(1, min(MAX_CHUNK, CHUNK_VALUES // max(1, n_values or self.schema.n_values)))
        return (np.arange(start, min(start + size, n)) for start in range(0, n, size))

    def _remains(
        self, source: Source, condition: Any, channels: int, times: int = 1
    ) -> Iterator[tuple[np.ndarray, Tensor, Tensor | None]]:
        """Ids, what is left of these rows, and their condition; fewer at a time where each is answered `times` over."""
        condition = self._labels(source, condition)
        for ids in self._chunks(len(source), times * max(1, source.row_bytes // 8)):
            left = read_remains(self.schema, source, ids, channels=channels, dtype=self._dtype)
            yield ids, left.to(self._device), self._condition(condition, ids)

    def _drawn(self, source: Source, n: int, condition: Any, seed: int) -> Iterator[Tensor]:
        """(n, rows, *x_shape), some rows at a time."""
        model = self.capable(DrawsMissing, "draw what is missing")
        if n < 1:
            raise UserError(f"n_samples must be at least 1, got {n}")
        with self._answering():
            restart(seed, "restoration")
            for ids, left, given in self._remains(source, condition, channels_left(model, None), n):
                with self._naming_gaps(ids):
                    drawn = draw_restorations(model, left, given, n_samples=n)
                yield drawn

    @contextlib.contextmanager
    def _naming_gaps(self, ids: np.ndarray) -> Iterator[None]:
        """What a model that draws in an order cannot go on from is told by the caller's rows and columns."""
        try:
            yield
        except Gap as gap:
            names = [f'column "{column.name}"' for column in self.schema.columns for _ in range(column.width)]
            in_words = names.__getitem__ if names else partial(where, x_shape=self.schema.x_shape)
            raise gap.told(int(ids[gap.row % len(ids)]), in_words) from None

    def _answer(
        self, rows: Any, condition: Any, ask: Callable[[Tensor, Tensor | None], Tensor], with_log_det: int = 0
    ) -> np.ndarray:
        return self._answer_tensor(rows, condition, ask, with_log_det).numpy()

    def _answer_tensor(
        self, rows: Any, condition: Any, ask: Callable[[Tensor, Tensor | None], Tensor], with_log_det: int = 0
    ) -> Tensor:
        """Asks the model chunk by chunk. Each chunk meets the same noise, so a row's answer is its own."""
        source = open_source(rows) if not isinstance(rows, Source) else rows
        condition = self._labels(source, condition)
        pieces = []
        with self._answering():
            for ids in self._chunks(len(source)):
                x = self._load(source, ids)
                restart("answer")
                x = self._settle(x)
                answer = ask(x, self._condition(condition, ids)).cpu()
                if with_log_det and self.continuous:
                    answer = answer.double() + with_log_det * self.schema.log_det(x).cpu()
                pieces.append(answer)
        return _joined(pieces, source)

    def _labels(self, source: Source, condition: Any) -> Any:
        """The labels that a conditional model is given: the caller's, else those of the rows."""
        if condition is not None or self.model.condition_shape is None:
            return condition
        if source.labels is None:
            raise DataError(f"{self.spec.name} was fitted with labels, and {source.name} has none: give `condition`")
        return source.labels

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        with evaluating(self.model), stream("answer"), torch_draws(self.model), torch.inference_mode():
            yield

    def _load(self, source: Source, ids: np.ndarray) -> Tensor:
        return self.schema.to_model(
            source.read(ids),
            dtype=self._dtype,
            missing_ok=isinstance(self.model, TakesMissing),
            place=lambda i: source.place(int(ids[i])),
        ).to(self._device)

    def _settle(self, x: Tensor) -> Tensor:
        """Draws what is random in rows once for all of them."""
        if not self.schema.is_random(self.continuous):
            return x
        noise = uniform(*x.shape[1:], like=x).expand_as(x)
        return self.schema.draw(x, noise, self.continuous)

    def _condition(self, labels: Any, ids: np.ndarray) -> Tensor | None:
        if labels is None:
            return None
        if self.model.condition_shape is None:
            raise Unsupported(f"{self.spec.name} was fitted without a condition, so it takes none")
        return one_hot(np.asarray(labels)[ids], self.schema.classes, self._dtype).to(self._device)


class _Asked:
    """How many threads ask a model right now, and which of its modules are in training mode else."""

    def __init__(self) -> None:
        self.n_threads = 0
        self.training: list[nn.Module] = []


_ASKED: weakref.WeakKeyDictionary[nn.Module, _Asked] = weakref.WeakKeyDictionary()
_ASKING = threading.Lock()


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, a model is in evaluation mode, however many threads ask it at once; the last one puts it back."""
    with _ASKING:
        asked = _ASKED.setdefault(model, _Asked())
        asked.n_threads += 1
        if training := [module for module in model.modules() if module.training]:
            asked.training += training
            model.eval()
    try:
        yield
    finally:
        with _ASKING:
            asked.n_threads -= 1
            if not asked.n_threads:
                for module in asked.training:
                    module.training = True
                asked.training.clear()


def _begin_in_child() -> None:
    """After a fork: the threads that asked are not there any more, nor is whoever held the lock."""
    global _ASKING
    _ASKING = threading.Lock()
    _ASKED.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


def _tell_share(tell: Callable[[float], None], n: int, before: int, size: int, done: int, total: int) -> None:
    tell((before + size * done / total) / n)


def _joined_notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _joined(pieces: list[Tensor], source: Source) -> Tensor:
    if not pieces:
        raise DataError(f"{source.name} has no rows")
    return torch.cat(pieces)


def one_hot(labels: np.ndarray, classes: tuple[str, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels as (n, len(classes)) rows with a single one.

    Raises:
        DataError: if a label is none of the classes.
    """
    index = {name: i for i, name in enumerate(classes)}
    unknown = sorted({str(label) for label in labels} - set(index))
    if unknown:
        raise DataError(f"label {unknown[0]!r} was not seen at fit; the classes are {', '.join(classes[:20])}")
    rows = torch.tensor([index[str(label)] for label in labels])
    return torch.nn.functional.one_hot(rows, len(classes)).to(dtype)


def load(path: str | os.PathLike[str], *, device: str = "cpu") -> Fitted:
    """Reads a fitted directory, trusting nothing in it.

    Args:
        path: what `Fitted.save` or `likely fit` wrote.
        device: where the model shall live.

    Raises:
        ModelFileError: if anything is missing, damaged, foreign or newer than this library; names the file.
    """
    parts = persistence.load(path)
    calibration = Calibration.from_json(parts.calibration) if parts.calibration else None
    parts.model.to(device).eval()
    return Fitted(parts.model, parts.spec, parts.schema, calibration, dict(parts.info))
