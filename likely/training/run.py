"""A run: everything that changes while a model is trained, and that a checkpoint therefore holds."""

import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from likely.contract import Batch, GradientFitted, NoHeldOutObjective, Objective
from likely.data.feed import Feed
from likely.data.split import Split
from likely.errors import Diverged
from likely.rng import permutation, stream, torch_draws
from likely.training.config import TrainConfig
from likely.training.guard import Guard, sees_finite
from likely.training.history import History
from likely.training.identity import check_identity, identity_of
from likely.training.optimizer import Average, PlayerOptimizer, learning_rate_share
from likely.training.plan import Precision, choose_validation_interval

MIN_ANNEAL = 60
ANNEAL_SHARE = 0.25
ANNEAL_RATE = 0.3
"""A run that stops early goes back to its best weights and lets the rate fall to zero over this share of the
steps that led there, from this share of the highest rate: it finds what a plateau at a high rate hides."""

VALIDATION_BATCH = 512

SKIPPED = "skipped"
PUT_BACK = "skipped, and put back"
"""Before the names of the flags of a step: whether each player's was not finite; whether the whole was undone."""

NUMBERS = (
    "step",
    "total_steps",
    "interval",
    "best_step",
    "misses",
    "anneal_from",
    "seconds",
    "validation_seconds",
    "rows",
    "names",
)
"""The attributes of a run that JSON can hold."""


class Run:
    """The state of one training run, and what it does to the model step by step.

    Args:
        model: on its device already.
        feed: the rows.
        split: which of them train and validate.
        config: the settings.
        batch_size: rows per player and step.
    """

    def __init__(self, model: GradientFitted, feed: Feed, split: Split, config: TrainConfig, batch_size: int) -> None:
        self.model, self.feed, self.split, self.config, self.batch_size = model, feed, split, config, batch_size
        self.device = next(model.parameters()).device
        self.noise = stream(config.seed, "run", on_device=True)
        self.torch_draws = torch_draws(model, feed, *feed.augmentation)
        self.players, self.parameters = model.players(), tuple(model.parameters())
        self.optimizers = {name: PlayerOptimizer(model, player, config) for name, player in self.players.items()}
        # Every step of every player sees rows of its own.
        self.batches_per_step = sum(player.steps for player in self.players.values())
        self.averages = isinstance(model, NoHeldOutObjective)
        # What the run ends with: the best weights on rows held out or, where those choose nothing, an average.
        self.best = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.precision = Precision("float32", "")
        self.step = self.total_steps = self.interval = self.best_step = self.misses = 0
        self.anneal_from: int | None = None
        self.best_score = math.inf
        self.seconds = self.validation_seconds = 0.0
        self.rows: list[dict[str, float]] = []
        self.names: list[str] = []
        self.pending: list[Tensor] = []
        self.identify = lambda: identity_of(model, feed, split, config)

    @property
    def finished(self) -> bool:
        """Whether the schedule has ended."""
        return 0 < self.total_steps <= self.step

    @property
    def validation_due(self) -> bool:
        """Whether the rows held out are to be looked at now."""
        return self.finished or (self.interval > 0 and self.step % self.interval == 0)

    @functools.cached_property
    def average(self) -> Average:
        """Moves `best` where nothing held out chooses; made at the first step, when all starting values are set."""
        return Average(self.best, self.model)

    @functools.cached_property
    def guard(self) -> Guard:
        """Undoes what moves beside the optimizers in a step that is not finite."""
        return Guard(self.model, self.best)

    def set_length(self, total_steps: int) -> None:
        """Fixes the length of the schedule, and with it when to validate."""
        self.total_steps, self.interval = total_steps, self.interval_of(total_steps)

    def interval_of(self, total_steps: int) -> int:
        """Steps between two validations in a run of that length."""
        return choose_validation_interval(
            total_steps, len(self.split.validation), self.batch_size * self.batches_per_step
        )

    # What happens in a step. Nothing here waits for the device.

    def advance(self, batches: Iterator[Batch]) -> None:
        """One step of every player, each on batches of its own; its noise is a function of the seed and its number."""
        self.noise.restart(self.config.seed, "step", self.step)
        with self.noise, self.torch_draws:
            self._advance(batches)

    def _advance(self, batches: Iterator[Batch]) -> None:
        if not self.model.training:
            self.model.train()  # walks through all modules, which tiny networks would feel at every step
        self.guard.before_step()
        means: dict[str, Tensor] = {}
        for name, player in self.players.items():
            self._let_move(name)
            means |= _mean_of([self._move(name, next(batches)) for _ in range(player.steps)])
        self.guard.before_after_step()
        self.model.after_step()
        flags = [means[_named(SKIPPED, name)] for name in self.players]
        means[PUT_BACK] = self.guard.settle(sum(flags[1:], flags[0]))
        self.step += 1
        if self.averages:
            self.average.move(self.step, means[PUT_BACK])
            self.best_step = self.step
        self.names = list(means)
        self.pending.append(torch.stack([value.float() for value in means.values()]))

    def _move(self, player: str, batch: Batch) -> dict[str, Tensor]:
        """One step of one player; the objective it moved on, and whether it was skipped."""
        objective = self._objective(self.feed.ready(batch, self.device, training=True), player)
        skipped = self.optimizers[player].step(objective.total, self._share())
        return {_named(SKIPPED, player): skipped, **_means(objective, "train", player)}

    def _share(self) -> float:
        if self.anneal_from is None:
            return learning_rate_share(self.step, self.total_steps, self.config.warmup)
        return ANNEAL_RATE * (self.total_steps - self.step) / (self.total_steps - self.anneal_from)

    def _let_move(self, name: str) -> None:
        """Only the parameters of one player take gradients."""
        if len(self.optimizers) > 1:
            for parameter in self.parameters:
                parameter.requires_grad_(False)
            for parameter in self.optimizers[name].parameters.values():
                parameter.requires_grad_(True)

    def _objective(self, batch: Batch, player: str) -> Objective:
        try:
            with self.precision.context(self.device):
                objective: Objective = self.model(batch.x, batch.condition, player)
        except (RuntimeError, ValueError) as error:
            self.look()
            if sees_finite(self.model, batch):
                raise
            raise self._diverged(self.step, "what the model was given") from error
        return objective

    # What the host looks at now and then.

    def look(self) -> None:
        """Checks what the device has done since the last look.

        Raises:
            Diverged: if a step was not finite; names the step, the epoch and the term. The best weights are back.
        """
        if not self.pending:
            return
        seen = torch.stack(self.pending)
        skipped = torch.tensor([name.startswith(SKIPPED) for name in self.names], device=seen.device)
        wrong = torch.where(skipped, seen > 0, ~seen.isfinite()).cpu()
        if wrong.any():
            at = int(wrong.any(1).nonzero()[0])
            named = [name for name, bad in zip(self.names, wrong[at].tolist(), strict=True) if bad]
            raise self._diverged(self.step - len(self.pending) + at, _blamed(named))

    def _diverged(self, step: int, what: str) -> Diverged:
        """The error of a step, counted from 0, at which something was not finite; puts the best weights back."""
        self.model.load_state_dict(self.best)
        kept = step if self.averages else self.best_step  # an average stays as it is from that step on
        return Diverged(
            f"training stopped: {what} was not finite at step {step + 1} (epoch {self._epoch(step):.1f}); "
            f"the weights of step {kept} are kept. Look for extreme values in the data, "
            f"or set a learning_rate below {self.config.learning_rate:g}"
        )

    def _epoch(self, step: int) -> float:
        return step * self.batch_size * self.batches_per_step / len(self.split.train)

    def validate(self) -> None:
        """Measures the objective on the rows held out, keeps the weights if they are the best, writes a row."""
        start = time.monotonic()
        trained = torch.stack(self.pending).mean(0).tolist() if self.pending else []
        row = dict(zip(self.names, trained, strict=False)) | self._held_out()
        row = {name: value for name, value in row.items() if not name.startswith(SKIPPED)}
        head = {"step": self.step, "epoch": self._epoch(self.step), "seconds": self.seconds}
        self.rows.append(head | {"learning_rate": self.config.learning_rate * self._share()} | row)
        self.pending.clear()
        if not self.averages:
            self._compare(self._score(row))
        self.validation_seconds = time.monotonic() - start

    def _held_out(self) -> dict[str, float]:
        """The mean objective and its terms over the validation rows, with the same noise at every call."""
        self.noise.restart(self.config.seed, "validation")
        with self.noise, self.torch_draws, torch.no_grad():
            return self._mean_objective()

    def _mean_objective(self) -> dict[str, float]:
        self.model.eval()
        ids, sums = self.split.validation, dict[str, Tensor]()
        # In random order: some terms compare the rows of a batch, and sorted ones would all be of one class.
        ids = ids[permutation(len(ids), self.config.seed, "validation")]
        for batch in self.feed.batches(ids, max(self.batch_size, VALIDATION_BATCH)):
            rows = self.feed.ready(batch, self.device)
            for player in self.optimizers:
                for name, mean in _means(self._objective(rows, player), "validation", player).items():
                    sums[name] = sums.get(name, 0.0) + mean.double() * len(rows.x)
        return {name: float(value) / len(ids) for name, value in sums.items()}

    def _score(self, row: Mapping[str, float]) -> float:
        """What chooses: the objectives of all players on the rows held out; on the training rows if there are none."""
        part = "validation" if len(self.split.validation) else "train"
        score = sum(row.get(_named(part, player), math.inf) for player in self.optimizers)
        return score if math.isfinite(score) else math.inf

    def _compare(self, score: float) -> None:
        if score < self.best_score:
            self.best_score, self.misses = score, 0
            self.keep()
        elif self.step > 0:
            self.misses += 1
        patience = self.config.patience
        if patience is not None and self.misses >= patience and self.anneal_from is None and not self.finished:
            self._anneal()

    def keep(self) -> None:
        """Takes the present weights for those that the run would end with."""
        self.best_step = self.step
        for name, value in self.model.state_dict().items():
            self.best[name].copy_(value)

    def _anneal(self) -> None:
        """Goes back to the best weights and lets the rate fall to zero from there."""
        self.model.load_state_dict(self.best)
        self.anneal_from = self.step
        length = max(MIN_ANNEAL, int(ANNEAL_SHARE * self.best_step))
        self.total_steps = min(self.total_steps, self.step + length)
        self.interval = min(self.interval, max(1, length // 5))

    def finish(self) -> History:
        """Puts the best weights (or their average) into the model, and says how it went."""
        self.model.load_state_dict(self.best)
        return History(
            rows=self.rows,
            total_steps=self.total_steps,
            best_step=self.best_step,
            precision=self.precision.name,
            batch_size=self.batch_size,
            seconds=self.seconds,
            stopped="schedule" if self.anneal_from is None else "early",
            notes=[f"{self.precision.name}: {self.precision.why}"],
            warnings=self.model.remarks(self.rows),
        )

    # What a checkpoint holds.

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What has to be the same for a stored state to be this run's; takes a pass over the data, once."""
        return self.identify()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able numbers that `load_state` takes."""
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for player, optimizer in self.optimizers.items():
            tensors |= {f"optimizer/{player}/{name}": value for name, value in optimizer.state().items()}
        if self.pending:
            tensors["pending"] = torch.stack(self.pending)
        numbers = {name: getattr(self, name) for name in NUMBERS}
        numbers |= {"precision": [self.precision.name, self.precision.why], "identity": self.identity}
        return tensors, numbers | {"best_score": self.best_score if math.isfinite(self.best_score) else None}

    def load_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Puts back what `state` gave.

        Raises:
            UserError: if it is the state of a run with other data or settings; says what differs.
        """
        check_identity(numbers["identity"], self.identity)
        self.model.load_state_dict(_under("model/", tensors))
        for name, value in _under("best/", tensors).items():
            self.best[name].copy_(value)
        for player, optimizer in self.optimizers.items():
            optimizer.load_state(_under(f"optimizer/{player}/", tensors))
        self.pending = list(tensors["pending"].to(self.device)) if "pending" in tensors else []
        for name in NUMBERS:
            setattr(self, name, numbers[name])
        self.precision = Precision(*numbers["precision"])
        self.best_score = math.inf if numbers["best_score"] is None else numbers["best_score"]


def _blamed(named: Sequence[str]) -> str:
    """What was not finite, by the names of the numbers that say so."""
    terms = [name for name in named if not name.startswith(SKIPPED)]
    return terms[-1] if terms else "what moves beside the weights" if named == [PUT_BACK] else "the gradient"


def _named(part: str, player: str, term: str = "") -> str:
    return "/".join(piece for piece in (part, player, term) if piece)


def _means(objective: Objective, part: str, player: str) -> dict[str, Tensor]:
    """The mean of the total and of each term over the batch, by the names that the history prints."""
    means = {_named(part, player): objective.total.detach().mean()}
    return means | {_named(part, player, name): value.detach().mean() for name, value in objective.terms.items()}


def _mean_of(steps: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each number over the steps of one player."""
    if len(steps) == 1:
        return steps[0]
    return {name: torch.stack([step[name] for step in steps]).mean(0) for name in steps[0]}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
