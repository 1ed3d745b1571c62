"""`Fitted`: a model with the schema it learned and its calibration.

Everything that enters and leaves is in the caller's own terms. The way of the data is one line: source, schema,
model, schema, answer.
"""

import contextlib
import copy
import itertools
import math
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from likely import arguments, persistence
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
from likely.data.learned import Learned
from likely.data.remains import (
    completed_rows,
    read_remains,
    reconstructed_rows,
    restored_to_rows,
    spread_to_rows,
)
from likely.data.subset import Subset
from likely.data.tabular import lacking_columns, listed
from likely.data.unseen import Refusal, Told, Unseen
from likely.errors import DataError, Unsupported
from likely.registry import MODELS, Spec, model_class
from likely.rng import restart, stream, torch_draws, uniform
from likely.tasks import Calibration, Measure, how_estimated, log_density, measure_of, surprise
from likely.tasks.gaps import MAX_KEPT, Gaps, Usual
from likely.tasks.noise import enough_noise, noise_of, noise_rows, usual_samples
from likely.tasks.restoration import channels_left, draw_restorations, only_fills, restore
from likely.training import History

CHUNK_VALUES = 2_000_000
MAX_CHUNK = 2048
"""Rows are answered so many values, and at most so many rows, at a time."""

DEFAULT_FALSE_ALARM_RATE = 0.05

MOST_ANOMALOUS = float(np.finfo(np.float64).max) / 4
"""The anomaly score of what is novel by definition: differences of two such numbers are finite, too."""

NOT_FINITE = "the model's number for it is not finite"

MIN_NOISE_ROWS = 8
"""From fewer rows nobody can tell how far noise moves a surprise."""


@dataclass(frozen=True)
class Scores:
    """How unlikely rows are.

    Attributes:
        surprise: (n,), larger is stranger; nats where `measure` is a log-probability or a bound of one.
        p_value: (n,), the share of rows like those of the fit that surprise at least as much, among those that show
            as much of themselves; as small as can be where a row holds what no row of the fit held. NaN where the
            model was not calibrated.
        is_novel: (n,) bool, flagged at `false_alarm_rate`.
        measure: what kind of number the surprise is.
        false_alarm_rate: the share of ordinary rows that is flagged.
        reason: (n,) of text, what makes a row novel beside its surprise: a value that was not there at fit, or gaps
            that were rare; empty where there is nothing of the kind.
        note: what a reader has to know, or empty.
    """

    surprise: np.ndarray
    p_value: np.ndarray
    is_novel: np.ndarray
    measure: Measure
    false_alarm_rate: float
    reason: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Judged:
    """Some rows and what a model says of them.

    Attributes:
        x: (n, *x_shape), as the model takes them, on the CPU.
        condition: (n, *condition_shape), where the model lives; or None.
        surprise: (n,) float64; infinite where the model lacks a value that it cannot do without.
        unseen: what they hold that the rows of fit did not.
    """

    x: Tensor
    condition: Tensor | None
    surprise: np.ndarray
    unseen: Unseen

    @property
    def ranked(self) -> np.ndarray:
        """(n,) the surprise, infinite where a row is novel by definition."""
        return np.where(self.unseen.rows, np.inf, self.surprise)


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
        learned: digests of the rows that it learned from, or None.
    """

    model: Model
    spec: Spec
    schema: Schema
    calibration: Calibration | None = None
    info: dict[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=History)
    learned: Learned | None = None
    warns: bool = True
    """Whether answers warn of what was not there at fit."""

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
        strict: bool = False,
    ) -> Scores:
        """How unlikely each row is, with a p-value and a flag.

        What was not there at fit is no reason to refuse a row: one with a new category, another value in a column that
        was constant, a value out of range, or none where the model takes none that is missing, is novel by definition,
        and `Scores.reason` says why. Columns that were not there at fit are left out, with a warning.

        Args:
            rows: like those of the fit: array, DataFrame, path or source.
            condition: labels of the rows, for a model that was fitted with them.
            false_alarm_rate: the share of ordinary rows that may be flagged.
            n_samples: importance samples where the density is known by a bound (16 by default), random lines where it
                is an estimate (2).
            strict: refuses rows that hold what was not there at fit.

        Returns:
            The scores.

        Raises:
            DataError: if the rows have another shape than those of the fit, or lack columns; with `strict` if they hold
                what was not there at fit: it names row and column of all, or of the first 20.
            Unsupported: if the model cannot judge rows.
        """
        false_alarm_rate = arguments.share("false_alarm_rate", false_alarm_rate)
        surprises, p_values, reasons = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
        with self._answering():
            for judged in self._judged(rows, condition, n_samples, strict=strict):
                p, told = self._p_values(judged, n_samples)
                surprises.append(judged.surprise)
                p_values.append(p)
                reasons.append(np.full(len(p), "", dtype=object))
                for row, reason in told.items():
                    reasons[-1][row] = reason
        p_value = np.concatenate(p_values)
        calibration = self.calibration
        lack = "the model was not calibrated" if calibration is None else calibration.shortage(false_alarm_rate)
        noise = "" if calibration is None or n_samples is not None else calibration.noise_told()
        return Scores(
            np.concatenate(surprises),
            p_value,
            p_value <= false_alarm_rate + 1e-12,
            self.measure,
            false_alarm_rate,
            np.concatenate(reasons),
            _joined_notes(lack, how_estimated(self.model, n_samples), noise),
        )

    def surprise(self, rows: Any, *, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """The surprise of each row alone: (n,) float64; densities in the caller's units.

        Infinite where the model's number is not finite, or a value is missing and the model takes none that is. Of what
        else was not there at fit it knows nothing: `score` does.
        """
        return self._surprise_by_noise(rows, n_samples, 0, condition)

    def anomaly_score(self, rows: Any, *, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """How strange each row is beside all others, with gaps or without: (n,) float64, finite, larger is stranger.

        The surprise, but that a row with gaps gets the one that has its p-value, and what is novel by definition
        stands above all.
        """
        pieces = []
        with self._answering():
            for judged in self._judged(rows, condition, n_samples):
                score = judged.ranked
                if self.calibration is not None and self._has_gaps(judged):
                    p, _ = self._p_values(judged, n_samples)
                    score = np.where(np.isinf(score), score, self.calibration.surprise_at(p))
                pieces.append(np.nan_to_num(score, posinf=MOST_ANOMALOUS))
        return np.concatenate(pieces)

    def log_prob(self, rows: Any, *, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """log p of each row in nats, a density in the caller's units or a probability of whole values.

        `density_mark` says whether it is exact, a bound or an estimate. Of a value that was not there at fit it
        counts for nothing: `score` says which rows hold one.

        Returns:
            (n,) float64.

        Raises:
            Unsupported: if the model knows no density.
        """
        if not self.measure.is_density:
            log_density(self.model, torch.empty(0))  # says which models have one
        return -self.surprise(rows, condition=condition, n_samples=n_samples)

    def learned_from(self, rows: Any) -> np.ndarray:
        """Which rows are those that the model learned from, wherever they stand: (n,) bool.

        Told by digests of what the model sees of a row; each is known as often as it was there at fit.

        Raises:
            DataError: if the rows are not like those of the fit.
        """
        source = self._open(rows)
        if self.learned is None:
            return np.zeros(len(source), dtype=bool)
        digests = [
            self.learned.digest(self._read(source, ids, Unseen(len(ids)), torch.float64, missing_ok=True).numpy())
            for ids in self._chunks(len(source))
        ]
        return self.learned.known(np.concatenate([np.empty(0, np.uint64), *digests]))

    def check(self, rows: Any) -> None:
        """Refuses rows that hold what was not there at fit, as `strict` does elsewhere.

        Raises:
            DataError: naming row and column of all such cells, or of the first 20, and columns that are new or lack.
        """
        self._checked(rows, True)

    def answerable(self, rows: Any) -> np.ndarray:
        """For which rows the model has an answer: (n,) bool; the others lack a value that it cannot do without.

        Raises:
            DataError: as `score`.
        """
        source, able = self._checked(rows), [np.empty(0, dtype=bool)]
        for ids in self._chunks(len(source)):
            unseen = Unseen(len(ids))
            self._load(source, ids, unseen)
            able.append(~unseen.unanswerable)
        return np.concatenate(able)

    # How its judgments are calibrated.

    def calibrate(self, rows: Source, usual: Usual) -> None:
        """Holds new rows against these from now on, which the model must not have seen.

        Args:
            rows: in random order.
            usual: how often rows of the fit had which gaps.
        """
        n_samples, error = self._enough_noise(rows)
        with self._answering():
            judged = list(self._judged(rows, None, n_samples)) if len(rows) else []
        ranked = np.concatenate([np.empty(0), *(each.ranked for each in judged)])
        gaps = _gaps(judged, ranked, usual) if isinstance(self.model, TakesMissing) and judged else None
        self.calibration = Calibration(ranked, n_samples, error, gaps)

    def _enough_noise(self, rows: Source) -> tuple[int | None, float]:
        """How much noise a surprise has to be made of for its error to be a tenth of the spread, and that error."""
        usual = usual_samples(self.model, dequantized=self.schema.is_random(self.continuous))
        if usual is None or len(rows) < MIN_NOISE_ROWS:
            return usual, 0.0
        some = Subset(rows, np.arange(min(len(rows), noise_rows(self.model, len(rows)))))
        return enough_noise(self.model, partial(self._surprise_by_noise, some))

    def _surprise_by_noise(self, rows: Any, n_samples: int | None, seed: int, condition: Any = None) -> np.ndarray:
        with self._answering():
            return np.concatenate([each.surprise for each in self._judged(rows, condition, n_samples, seed)])

    def _judged(
        self, rows: Any, condition: Any, n_samples: int | None, seed: int = 0, *, strict: bool = False
    ) -> Iterator[Judged]:
        """What the model says of rows, chunk by chunk; to be gone through while `_answering`."""
        if n_samples is not None:
            n_samples = arguments.whole("n_samples", n_samples, 1)
        source = self._checked(rows, strict)
        labels = self._labels(source, condition)
        if not len(source):
            raise DataError(f"{source.name} has no rows")
        measure_of(self.model)  # says which models can judge
        for ids in self._chunks(len(source)):
            unseen = Unseen(len(ids))
            x, given = self._load(source, ids, unseen), self._condition(labels, ids)
            surprise = np.where(unseen.unanswerable, np.inf, self._surprise_of(x, given, n_samples, seed))
            yield Judged(x.cpu(), given, surprise, unseen)

    def _surprise_of(self, x: Tensor, condition: Tensor | None, n_samples: int | None, seed: int = 0) -> np.ndarray:
        """The surprise (n,) of rows as the model takes them: over dequantizations the mean of probabilities.

        Each chunk meets the same noise, so that a row's answer is its own.
        """
        if n_samples is None and self.calibration is not None:
            n_samples = self.calibration.n_samples
        is_random = self.schema.is_random(self.continuous)
        n_draws, each = noise_of(self.model, n_samples, is_random)
        x = x.to(self._device, self._dtype)
        condition = None if condition is None else condition.to(self._device)
        found = []
        for draw in range(n_draws):
            restart("answer", seed, draw)
            settled = self._settle(x)
            numbers = surprise(self.model, settled, condition, n_samples=each).double()
            found.append(numbers - self.schema.log_det(settled).to(numbers.device) if self.continuous else numbers)
        all_draws = torch.stack(found)
        if self.schema.binarize or not self.measure.is_density:
            together = all_draws.mean(0)
        else:
            together = math.log(n_draws) - (-all_draws).logsumexp(0)
        return together.nan_to_num(nan=math.inf, posinf=math.inf).cpu().numpy()

    def _has_gaps(self, judged: Judged) -> bool:
        gaps = None if self.calibration is None else self.calibration.gaps
        return gaps is not None and bool(not gaps.complete or judged.x.isnan().any())

    def _p_values(self, judged: Judged, n_samples: int | None) -> tuple[np.ndarray, dict[int, str]]:
        """(n,) p-values, and by row why, where that is not its surprise alone."""
        odd = np.flatnonzero(np.isinf(judged.surprise))
        reasons = {int(row): self._not_finite_told(judged.x[row]) for row in odd}
        reasons |= judged.unseen.reasons()
        if self.calibration is None:
            return np.full(len(judged.surprise), np.nan), reasons
        p = self.calibration.p_value(judged.ranked)
        ids = np.flatnonzero(np.isfinite(judged.ranked))
        gaps = self.calibration.gaps
        if gaps is None or not len(ids) or not self._has_gaps(judged):
            return p, reasons
        rows = torch.from_numpy(ids)
        given = None if judged.condition is None else judged.condition[rows.to(judged.condition.device)]
        judge = partial(self._surprise_of, n_samples=n_samples)
        p[ids], rare = gaps.p_values(judged.x[rows], given, judged.surprise[ids], judge)
        for row, key in rare.items():
            reasons[int(ids[row])] = self._gaps_told(judged.x[ids[row]], gaps.usual, key)
        return p, reasons

    def _columns_told(self, which: Tensor) -> str:
        """The columns of some values of a row (*x_shape) in words, or how many values they are; empty for none."""
        chosen = which.flatten().tolist()
        names = [column.name for column in self.schema.columns for _ in range(column.width)]
        listed = list(dict.fromkeys(itertools.compress(names, chosen)))
        if listed:
            return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
        return f"{sum(chosen)} of {len(chosen)} values" if any(chosen) else ""

    def _not_finite_told(self, x: Tensor) -> str:
        beyond = self._columns_told(x.isinf())
        return f"{beyond}: beyond all numbers that the model can hold" if beyond else NOT_FINITE

    def _gaps_told(self, x: Tensor, usual: Usual, key: str) -> str:
        what = f"lacks {self._columns_told(x.isnan()) or 'nothing'}"
        return f"{what}, as {usual.counts.get(key, 'no more than one')} of {usual.n_rows:,} rows at fit did"

    # What it makes of rows.

    def encode(self, rows: Any, *, condition: Any = None, strict: bool = False) -> np.ndarray:
        """The code of each row: (n, *z_shape).

        A row with what was not there at fit is encoded by what the model can see of it, and NaN where it lacks a value
        and the model takes none that is missing; a warning names such rows.

        Args:
            rows: like those of the fit: array, DataFrame, path or source.
            condition: labels of the rows, for a model that was fitted with them.
            strict: refuses rows that hold what was not there at fit.

        Raises:
            DataError: as `score`.
            Unsupported: if the model does not encode.
        """
        model = self.capable(Encoder, "encode")
        return self._answer(rows, condition, model.encode, strict)

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

    def reconstruct(self, rows: Any, *, condition: Any = None, strict: bool = False) -> Rows:
        """Each row through the code and back, in the caller's units; means, so not rounded.

        Of a table what the model does not see comes back as it is: labels, identifiers, constant columns. What was not
        there at fit is met as by `encode`.
        """
        source = self._open(rows)
        return reconstructed_rows(self.schema, self.see_again(source, condition=condition, strict=strict), source)

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
            UserError: if `n` is no whole number from 1 on, or `temperature` is not positive.
        """
        drawn = self.see_samples(n, condition=condition, seed=seed, temperature=temperature, on_progress=on_progress)
        return self.schema.to_rows(drawn, draws=True)

    def restore(
        self, y: Any, operator: Operator | Corruption | None = None, *, condition: Any = None, strict: bool = False
    ) -> Rows:
        """What rows were before something happened to them, in the caller's units: means.

        What is missing is filled in by what the column can hold: whole numbers where all were whole, multiples of their
        step, inside their range. All that is there in such rows stays as it is, to the last digit. A table comes back
        in the library that it came in, with its index, its types, and the columns that the model does not see.

        Args:
            y: what is left of rows, in their units: noise may leave their range, NaN (null) is what is missing,
                images may be of any size, and gray where that is what happened. Images whose sizes differ come one
                by one. In image files transparent pixels are missing. A model that only fills in what is missing
                leaves all else as it is, to the last digit.
            operator: what happened: a corruption, such as `likely.corruptions.Downsampling(2)`, or an operator that
                was drawn for these very rows as the model sees them. By default what is missing was erased, and
                where nothing is missing, that happened which the model learned to undo.
            condition: labels of the rows, for a model that was fitted with them.
            strict: refuses rows with categories that were not there at fit, infinite values, or text for numbers.

        Raises:
            DataError: if y is nothing that could be left of rows like those of the fit; with `strict` it names row and
                column of what was not there at fit.
            Unsupported: if the model does not restore.
        """
        model = self.capable(Restorer, "restore")
        channels = channels_left(model, operator)
        source = self._checked(y, strict, channels)
        pieces, only_gaps = list[Tensor](), list[Tensor]()
        with self._answering():
            for ids, left, given in self._remains(source, condition, channels):
                own = operator.rows(slice(ids[0], ids[-1] + 1)) if isinstance(operator, DrawnOperator) else operator
                with self._naming_gaps(ids):
                    pieces.append(restore(model, left, own, given).cpu())
                only_gaps.append(only_fills(model, left, own).cpu())
        restored, filled = _joined(pieces, source), torch.cat(only_gaps).numpy()
        if self.schema.kind != "table" and not filled.any():
            return restored_to_rows(self.schema, restored)
        return completed_rows(self.schema, restored, source, draws=False, only_gaps=filled)

    def draw_restorations(
        self, y: Any, n_samples: int = 10, *, condition: Any = None, seed: int = 0, strict: bool = False
    ) -> list[Rows]:
        """Rows with what is missing drawn from what it could be given the rest: multiple imputation.

        Args:
            y: rows in their units, NaN (null) where something is missing; in image files transparent pixels are.
            n_samples: how many versions.
            condition: labels of the rows, for a model that was fitted with them.
            seed: which draws.
            strict: as `restore`.

        Returns:
            n_samples times the rows, whole: what is there as it is, whole columns whole.

        Raises:
            DataError: as `restore`.
            Unsupported: if the model fills in nothing, or by its best guess only.
        """
        source = self._checked(y, strict, channels_left(self.capable(DrawsMissing, "draw what is missing"), None))
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
        arguments.whole("n_samples", n_samples, 2)
        source = self._checked(y)
        pieces = [draws.double().std(0).cpu() for draws in self._drawn(source, n_samples, condition, seed)]
        return spread_to_rows(self.schema, _joined(pieces, source), source)

    # The same, as the model sees it: what evaluation compares.

    def see(self, rows: Any) -> Tensor:
        """Rows as the model takes them: (n, *x_shape)."""
        return self._answer_tensor(rows, None, lambda x, condition: x)

    def see_again(self, rows: Any, *, condition: Any = None, strict: bool = False) -> Tensor:
        """Reconstructions as the model gives them: (n, *x_shape)."""
        return self._answer_tensor(rows, condition, self.capable(Reconstructor, "reconstruct").reconstruct, strict)

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
        n = arguments.whole("n", n, 1)
        arguments.integer("seed", seed)
        if arguments.positive("temperature", temperature) != 1:
            self.capable(Sequential, "draw at a temperature")
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
        source = self._open(rows)
        labels = self._labels(source, condition)
        x = self._answer_tensor(source, labels, lambda x, condition: x)
        if not isinstance(self.model, TakesMissing) and (lost := x.isnan().flatten(1).any(1)).any():
            row = source.place(int(lost.nonzero()[0]))
            raise DataError(f"{row} lacks a value, and {self.spec.name} takes none that is missing; fill it in")
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
            rows=({} if self.calibration is None else self.calibration.tensors())
            | ({} if self.learned is None else self.learned.tensors()),
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

    def _open(self, rows: Any) -> Source:
        """Data of any kind as a source; text is read as it was at fit."""
        if isinstance(rows, Source):
            return rows
        source = open_source(rows, like=self.schema.later_reading)
        if self.warns:
            source.warn()
        return source

    def _chunks(self, n: int, n_values: int = 0) -> Iterator[np.ndarray]:
        size = max(1, min(MAX_CHUNK, CHUNK_VALUES // max(1, n_values or self.schema.n_values)))
        return (np.arange(start, min(start + size, n)) for start in range(0, n, size))

    def _remains(
        self, source: Source, condition: Any, channels: int, times: int = 1
    ) -> Iterator[tuple[np.ndarray, Tensor, Tensor | None]]:
        """Ids, what is left of these rows, and their condition; fewer at a time where each is answered `times` over."""
        condition, told = self._labels(source, condition), Told("the model takes it as missing")
        for ids in self._chunks(len(source), times * max(1, source.row_bytes // 8)):
            unseen = Unseen(len(ids))
            left = read_remains(self.schema, source, ids, channels=channels, dtype=self._dtype, unseen=unseen)
            told.add(unseen, ids, source)
            yield ids, left.to(self._device), self._condition(condition, ids)
        if self.warns:
            told.warn()

    def _drawn(self, source: Source, n: int, condition: Any, seed: int) -> Iterator[Tensor]:
        """(n, rows, *x_shape), some rows at a time."""
        model = self.capable(DrawsMissing, "draw what is missing")
        n = arguments.whole("n_samples", n, 1)
        arguments.integer("seed", seed)
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
        self, rows: Any, condition: Any, ask: Callable[[Tensor, Tensor | None], Tensor], strict: bool = False
    ) -> np.ndarray:
        return self._answer_tensor(rows, condition, ask, strict).numpy()

    def _answer_tensor(
        self, rows: Any, condition: Any, ask: Callable[[Tensor, Tensor | None], Tensor], strict: bool = False
    ) -> Tensor:
        """Asks the model chunk by chunk. Each chunk meets the same noise, so a row's answer is its own.

        NaN where a row lacks a value and the model takes none that is missing.
        """
        source = self._checked(rows, strict)
        condition = self._labels(source, condition)
        answers, told = torch.empty(0), Told()
        with self._answering():
            for ids in self._chunks(len(source)):
                unseen = Unseen(len(ids))
                x = self._load(source, ids, unseen)
                restart("answer")
                answer = ask(self._settle(x), self._condition(condition, ids)).cpu()
                if unseen.unanswerable.any():
                    answer[torch.from_numpy(unseen.unanswerable)] = torch.nan
                if not ids[0]:  # all at once: pieces between what comes and goes would leave holes in memory
                    answers = answer.new_empty((len(source), *answer.shape[1:]))
                answers[ids[0] : ids[-1] + 1] = answer
                told.add(unseen, ids, source)
        if self.warns:
            told.warn()
        return _joined([answers] if len(source) else [], source)

    def _checked(self, rows: Any, strict: bool = False, channels: int | None = None) -> Source:
        """A source of rows that has what the model needs; what it has beyond that is left out, with a warning.

        Args:
            rows: whatever the caller gave.
            strict: refuses what was not there at fit.
            channels: of what is left of rows, where that is what the rows are.
        """
        source, columns = self._open(rows), list[str]()
        if source.kind == "table" and self.schema.kind == "table":
            columns = self._other_columns(source)
        if not strict:
            for told in columns if self.warns else ():
                warnings.warn(f"{source.name} {told}", UserWarning, stacklevel=2)
            return source
        refusal = Refusal([f"{source.name} {told}" for told in columns])
        for ids in self._chunks(len(source)):
            unseen = Unseen(len(ids))
            if channels is None:
                self._load(source, ids, unseen)
            else:
                read_remains(self.schema, source, ids, channels=channels, unseen=unseen)
            refusal.add(unseen, partial(_place, source, ids))
        refusal.check()
        return source

    def _other_columns(self, source: Source) -> list[str]:
        """What columns a table lacks, and which it has beyond those of fit, in words."""
        table = self.schema.check_columns(source.read(np.arange(0)), isinstance(self.model, TakesMissing))
        lacking = lacking_columns(self.schema.columns, table.column_names)
        extra = self.schema.extra_columns(table.column_names)
        lacks = [f"lacks {listed(lacking)}: taken as missing in every row"] if lacking else []
        return lacks + ([f"has {listed(extra)}, which the model was not fitted on: left out"] if extra else [])

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

    def _load(self, source: Source, ids: np.ndarray, unseen: Unseen | None = None) -> Tensor:
        missing_ok = isinstance(self.model, TakesMissing)
        return self._read(source, ids, unseen or Unseen(len(ids)), self._dtype, missing_ok=missing_ok).to(self._device)

    def _read(self, source: Source, ids: np.ndarray, unseen: Unseen, dtype: torch.dtype, *, missing_ok: bool) -> Tensor:
        is_like_files = self.schema.kind == "image" and self.schema.channel_axis != 0
        rows, wrong = source.read_some(ids, (self.schema.row_shape, self.schema.dtype) if is_like_files else None)
        if wrong:
            rows[list(wrong)] = self.schema.low  # something that any image may hold, and that is never answered for
            unseen.note_unreadable(wrong)
        return self.schema.to_model(
            rows,
            dtype=dtype,
            missing_ok=missing_ok,
            place=partial(_place, source, ids),
            unseen=unseen,
        )

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


def _place(source: Source, ids: np.ndarray, i: int) -> str:
    return source.place(int(ids[i]))


def _tell_share(tell: Callable[[float], None], n: int, before: int, size: int, done: int, total: int) -> None:
    tell((before + size * done / total) / n)


def _joined_notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _gaps(judged: list[Judged], ranked: np.ndarray, usual: Usual) -> Gaps:
    """The first rows of those that were judged, kept to be masked."""
    x = torch.cat([each.x for each in judged])[:MAX_KEPT]
    given = [each.condition.cpu() for each in judged if each.condition is not None]
    condition = torch.cat(given)[:MAX_KEPT] if given else None
    return Gaps(x.clone(), condition, ranked[: len(x)], usual)


def _joined(pieces: list[Tensor], source: Source) -> Tensor:
    if not pieces:
        raise DataError(f"{source.name} has no rows")
    return torch.cat(pieces)


def one_hot(
    labels: np.ndarray, classes: tuple[str, ...], dtype: torch.dtype = torch.float32, *, new_ok: bool = False
) -> Tensor:
    """Labels as (n, len(classes)) rows with a single one; without any for a new label, where `new_ok`.

    Raises:
        DataError: if a label is none of the classes, unless `new_ok`.
    """
    index = {name: i for i, name in enumerate(classes)}
    found = torch.tensor([index.get(str(label), -1) for label in labels])
    new = sorted({str(label) for label in labels} - set(index))
    if new and not new_ok:
        raise DataError(f"label {new[0]!r} was not seen at fit; the classes are {', '.join(classes[:20])}")
    rows = torch.nn.functional.one_hot(found.clamp_min(0), len(classes))
    return (rows * (found >= 0)[:, None]).to(dtype)


def load(path: str | os.PathLike[str], *, device: str = "cpu") -> Fitted:
    """Reads a fitted directory, trusting nothing in it.

    Args:
        path: what `Fitted.save` or `likely fit` wrote.
        device: where the model shall live.

    Raises:
        ModelFileError: if anything is missing, damaged, foreign or newer than this library; names the file.
    """
    parts = persistence.load(path)
    calibration = Calibration.from_json(parts.calibration, parts.rows) if parts.calibration else None
    learned = Learned.from_tensors(parts.rows)
    parts.model.to(device).eval()
    return Fitted(parts.model, parts.spec, parts.schema, calibration, dict(parts.info), learned=learned)
