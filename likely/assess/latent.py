"""What a code says of test rows, and whether the bound on their log-likelihood can be believed."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from likely.assess.bench import Bench
from likely.contract import LatentDensity
from likely.data import Source
from likely.data.subset import some_rows
from likely.evaluation import Figure, mean_with_error
from likely.fitted import Fitted, one_hot
from likely.tasks.annealing import Annealing, annealed_estimate
from likely.tasks.importance import LogProbEstimate, importance_estimate, one_sample_bound
from likely.tasks.proposals import N_DECODED
from likely.tasks.units import ACTIVE, MIN_RATE, CodeUse, code_use

N_ROWS = 2_000
"""Rows whose codes are looked at."""

N_CHECKED = 16
N_SAMPLES = 1_000
N_ONE_SAMPLE = 64
"""Draws that the bound by one sample is the mean of."""

ANNEALING = Annealing(n_chains=12, n_temperatures=500, n_leapfrog=1)
"""The check of the bound: so many rows, importance samples, and steps of annealing. A few rows well: where chains are
short or few, they end below log p by more than their errors say."""

SAMPLING_BUDGET, REFINING_BUDGET, ANNEALING_BUDGET = 1e11, 2e11, 5e11
"""Floating-point operations that each may take: a few seconds of one core. A larger decoder gets fewer importance
samples, drawn from its posterior as it was learned, and is not annealed."""

MAX_ERROR = 1.0
"""Nats. What is not known better than this checks nothing."""

ONE_SAMPLE, ANNEALED = "one sample", "annealing"
OWN_FIGURES = ("rate", "active units", "effective samples", "heavy-tailed rows", "checked log-likelihood")
"""Names of the figures."""


@dataclass(frozen=True)
class Latent:
    """What was found: figures, and sentences on them."""

    figures: tuple[Figure, ...] = ()
    verdicts: tuple[str, ...] = ()


def latent(bench: Bench) -> Latent:
    """Rate, active units, how far importance samples can be trusted, and annealing beside them; a code that collapsed.

    Nothing where the model has no latent density, or needs labels that the rows have not.
    """
    model, n_rows = bench.model, len(bench.test)
    if not isinstance(model, LatentDensity) or n_rows < 2:
        return Latent()
    if model.condition_shape is not None and bench.test.labels is None:
        return Latent()
    use = use_of(bench.fitted, some_rows(bench.test, N_ROWS))
    figures, verdicts = [*_code_figures(bench.name, use)], [code_in_words(use)]
    check = _Check(bench)
    figures += check.figures()
    return Latent(tuple(figures), (*verdicts, *filter(None, [check.tails_in_words(), check.verdict()])))


def use_of(fitted: Fitted, rows: Source) -> CodeUse:
    """What the code says of rows, for a model that is a LatentDensity."""
    assert isinstance(fitted.model, LatentDensity)
    with _still(fitted):
        return code_use(fitted.model, *_seen(fitted, rows))


def code_in_words(use: CodeUse) -> str:
    """A sentence that says plainly whether the code is in use."""
    n, size, rate = use.n_active, len(use.variance), use.mean_rate
    if use.collapsed:
        return (
            f"The posterior has COLLAPSED: the code says {rate:.2g} nats of a row, and {n} of its {size} values are "
            "active. What is decoded hardly depends on it. A smaller beta, a warm-up of the rate or free bits may help."
        )
    if n < size / 2:
        return (
            f"Its code says {rate:.3g} nats of a row, by {n} of its {size} values: the other {size - n} are DEAD and "
            "say nothing; a smaller z_size would do as well."
        )
    return f"Its code says {rate:.3g} nats of a row; {n} of its {size} values are active."


def _code_figures(name: str, use: CodeUse) -> list[Figure]:
    rate = mean_with_error(use.rate.numpy())
    n = len(use.rate)
    note = f"KL(q(z | x) || p(z)), the mean over {n:,} test rows; below {MIN_RATE:g} the code has collapsed."
    if use.unit_rates is not None:
        largest = use.unit_rates.sort(descending=True).values[:10]
        note += f" By value of the code, largest first: {', '.join(f'{each:.2g}' for each in largest.tolist())}"
        note += ", ..." if len(use.unit_rates) > len(largest) else "."
    varies = f"Values whose posterior mean has a variance above {ACTIVE:g} over {n:,} test rows."
    return [
        Figure("rate", "nats per row", "neither", {name: rate.mean}, {}, {name: rate.error}, note),
        Figure(
            "active units", f"of {len(use.variance)} values of the code", "neither", {name: use.n_active}, note=varies
        ),
    ]


class _Check:
    """log p of a few rows, by importance samples and by annealing."""

    def __init__(self, bench: Bench) -> None:
        fitted, self.name = bench.fitted, bench.name
        assert isinstance(fitted.model, LatentDensity)
        rows = some_rows(bench.test, N_CHECKED)
        with _still(fitted):
            x, condition = _seen(fitted, rows)
            self.shift = float(bench.schema.log_det(x.cpu()).mean()) if fitted.continuous else 0.0
            cost = _Cost(fitted.model, x, condition)
            n_samples = int(min(N_SAMPLES, max(16, SAMPLING_BUDGET / cost.of(len(x), 1))))
            self.refined = cost.of(len(x), N_DECODED) <= REFINING_BUDGET
            self.sampled = importance_estimate(fitted.model, x, condition, n_samples=n_samples, refine=self.refined)
            one = one_sample_bound(fitted.model, x, condition, n_samples=min(n_samples, N_ONE_SAMPLE))
            self.one_sample = -float((one.distortion + one.rate).mean())
            n_chains = ANNEALING.n_chains + ANNEALING.n_pilots
            # A gradient costs as much as two more evaluations.
            self.operations = 3 * cost.of(len(x) * n_chains, ANNEALING.n_gradients / n_chains)
            self.annealed: LogProbEstimate | None = None
            if self.operations <= ANNEALING_BUDGET:
                self.annealed = annealed_estimate(fitted.model, x, condition, annealing=ANNEALING)
        whole = bench.schema.domain in ("binary", "levels") or not fitted.continuous
        self.unit = "nats per row" if whole else "nats per row, a density in the units of the data"

    def figures(self) -> list[Figure]:
        """Effective samples, rows whose weights are heavy-tailed, and log-likelihoods of the same rows side by side."""
        return [self._effective(), *self._heavy(), self._checked()]

    def _effective(self) -> Figure:
        effective, k = self.sampled.effective_samples, self.sampled.n_samples
        few = float((effective < k / 10).double().mean())
        drawn = "a normal fitted to each row" if self.refined else "the posterior"
        note = (
            f"Of {k:,} importance samples from {drawn}, as many count as this: (sum of weights)^2 / sum of squared "
            f"weights, the median over {len(effective)} test rows. {few:.0%} of the rows have less than a tenth of "
            "them."
        )
        return Figure("effective samples", f"of {k:,}", "higher", {self.name: float(effective.median())}, note=note)

    def _heavy(self) -> list[Figure]:
        """Nothing where the samples are too few to tell."""
        shapes = self.sampled.pareto_shape.clamp_min(-1)
        if shapes.isnan().any():
            return []
        note = (
            f"Rows whose importance weights have a tail of a Pareto shape above {self.sampled.heavy_from:.2g}: a few "
            "weights decide there, and the largest have not been drawn. The shape is "
            f"{float(shapes.median()):.2g} in the median, at most {float(shapes.max()):.2g}."
        )
        unit = f"of {len(shapes)} test rows"
        return [Figure("heavy-tailed rows", unit, "lower", {self.name: self.sampled.n_heavy}, note=note)]

    def _checked(self) -> Figure:
        values = {self.name: self.sampled.mean, ONE_SAMPLE: self.one_sample}
        errors = {self.name: self.sampled.mean_error}
        if self.annealed is not None:
            values[ANNEALED], errors[ANNEALED] = self.annealed.mean, self.annealed.mean_error
        values = {row: value + self.shift for row, value in values.items()}
        marks = dict.fromkeys(errors, "~") | {ONE_SAMPLE: ">="} | ({} if self.covered else {self.name: ">="})
        return Figure("checked log-likelihood", self.unit, "neither", values, marks, errors, self._note())

    @property
    def covered(self) -> bool:
        """Whether the error of the importance samples covers log p, and they are enough to know it."""
        return bool((self.sampled.pareto_shape <= self.sampled.heavy_from).all())

    def _note(self) -> str:
        gain = self.sampled.mean - self.one_sample
        covers = "It covers log p." if self.covered else "log p may be higher than it says."
        note = (
            f"{len(self.sampled)} test rows by {self.sampled.n_samples:,} importance samples, {gain:.2g} nats above "
            "the bound by one sample; ± is for these very rows: the error of sampling, and what weights that were not "
            f"drawn may add. {covers}"
        )
        if self.annealed is None:
            return (
                f"{note} Not annealed: the decoder would take {self.operations:.1g} operations, and the budget is "
                f"{ANNEALING_BUDGET:.1g}."
            )
        return (
            f"{note} Annealed importance sampling goes from the prior to the posterior in {ANNEALING.n_temperatures} "
            f"steps of {ANNEALING.n_chains} chains and never asks q(z | x)."
        )

    def tails_in_words(self) -> str:
        """Of how many rows nothing more than a bound is known; "" where there are none."""
        if not self.sampled.n_heavy:
            return ""
        return (
            f"Importance weights are HEAVY-TAILED for {self.sampled.n_heavy} of {len(self.sampled)} test rows: these "
            "rows are at least as likely as is shown, and how much more likely, ± does not say."
        )

    def verdict(self) -> str:
        """Whether the independent check agrees; "" where there was none."""
        if self.annealed is None:
            return ""
        difference = self.annealed.mean - self.sampled.mean
        error = math.hypot(self.annealed.mean_error, self.sampled.mean_error)
        rows, by = f"{len(self.sampled)} test rows", f"{abs(difference):.2g} ± {error:.2g} nats"
        if self.annealed.mean_error > MAX_ERROR or difference < -2 * error:
            return (
                f"Annealed importance sampling of {rows} checks nothing: its chains have not arrived, and end {by} "
                f"{'above' if difference > 0 else 'below'} the importance samples."
            )
        if difference > 2 * error:
            return (
                f"Annealed importance sampling finds {rows} MORE likely than importance samples do, by {by}: so much "
                "they miss."
            )
        return f"Annealed importance sampling agrees with importance samples on {rows}: {by} apart, within two errors."


class _Cost:
    """Floating-point operations of decoding, as far as they are matrix products and convolutions."""

    def __init__(self, model: LatentDensity, x: Tensor, condition: Tensor | None) -> None:
        one, two = (_operations(model, x[:n], None if condition is None else condition[:n]) for n in (1, 2))
        self.each = max(1, two - one)
        self.fixed = max(0, one - self.each)  # a learned prior may work the same for any number of codes

    def of(self, n: int, times: float) -> float:
        """Of n (sample, row) pairs, so many times."""
        return times * (self.fixed + n * self.each)


@torch.no_grad()
def _operations(model: LatentDensity, x: Tensor, condition: Tensor | None) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    z = torch.zeros(len(x), *model.z_shape, dtype=x.dtype, device=x.device)
    with FlopCounterMode(display=False) as counter:
        model.log_likelihood(x, z, condition)
        model.log_prior(z)
    return int(counter.get_total_flops())


def _seen(fitted: Fitted, rows: Source) -> tuple[Tensor, Tensor | None]:
    """Rows as the model takes them, and their condition where it wants one."""
    like = next(iter(fitted.model.state_dict().values()))
    x = fitted.see(rows).to(like.device)
    if fitted.model.condition_shape is None:
        return x, None
    assert rows.labels is not None
    return x, one_hot(rows.labels, fitted.schema.classes, x.dtype).to(like.device)


@contextlib.contextmanager
def _still(fitted: Fitted) -> Iterator[None]:
    """Inside, the model is in evaluation mode."""
    was_training = fitted.model.training
    fitted.model.eval()
    try:
        yield
    finally:
        fitted.model.train(was_training)
