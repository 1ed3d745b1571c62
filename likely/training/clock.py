"""What time it is for a run: how long so far, how long still, and whether a checkpoint is due."""

import math
import time

import torch

from likely.training.config import TrainConfig
from likely.training.history import Progress
from likely.training.plan import N_MEASURED_STEPS
from likely.training.run import Run

N_WARM_STEPS = 5
"""The first steps allocate and compile; time is measured after them."""

TIME_MARGIN = 0.97
"""Share of the time that is left which steps and validations are planned to fill."""

LEAST_MEASURED_SHARE = 0.04
"""Of the time limit: quick steps are measured for so long, for a moment says little of a machine that others use."""

MEASURING_SHARE = 0.5
"""Of the time limit: when so much is gone the length is fixed by whatever has been measured."""


class Clock:
    """The time of one run in one process; what earlier processes took is counted in.

    Args:
        config: the settings.
        run: whose `seconds` it keeps, and whose length it fixes.
    """

    def __init__(self, config: TrainConfig, run: Run) -> None:
        self.config, self.run, self.before = config, run, run.seconds
        self.start = self.last_checkpoint = time.monotonic()
        self.ticks = 0
        self.mark = (run.step, run.seconds)

    def tick(self) -> None:
        """After each step: counts the seconds and, under a time limit, fixes the length of the run once."""
        run = self.run
        self.ticks += 1
        if self.ticks in (N_WARM_STEPS, N_MEASURED_STEPS) and run.device.type == "cuda":
            torch.cuda.synchronize(run.device)  # the host runs ahead of the device: its time says nothing
        run.seconds = self.before + time.monotonic() - self.start
        limit = self.config.training_seconds
        if limit is not None and run.total_steps == 0 and self._has_measured(limit):
            run.set_length(run.step + self._steps_in(TIME_MARGIN * (limit - run.seconds)))
        if self.ticks in (1, N_WARM_STEPS):
            self.mark = (run.step, run.seconds)

    def _has_measured(self, limit: float) -> bool:
        late = self.run.seconds >= MEASURING_SHARE * limit
        enough = self.ticks >= N_MEASURED_STEPS and self.run.seconds >= LEAST_MEASURED_SHARE * limit
        return enough or (late and self.ticks > 1)

    def _steps_in(self, seconds: float) -> int:
        """How many steps, at least one, take so many seconds together with their validations."""
        run, each = self.run, self.seconds_per_step()
        if each is None:
            return 1
        steps = max(seconds, 0.0) / each
        for _ in range(3):  # the number of validations depends on the length, and the length on their number
            interval = run.interval_of(math.ceil(run.step + steps))
            steps = max(seconds, 0.0) / (each + run.validation_seconds / interval)
        return max(1, int(steps))

    def seconds_per_step(self) -> float | None:
        """Since the first steps, validations counted in; None while nothing has been measured."""
        steps = self.run.step - self.mark[0]
        return (self.run.seconds - self.mark[1]) / steps if steps else None

    def checkpoint_due(self) -> bool:
        """Whether so many seconds or steps have passed."""
        steps, now = self.config.checkpoint_steps, time.monotonic()
        due = now - self.last_checkpoint >= self.config.checkpoint_every
        due = due or (steps is not None and self.run.step % steps == 0)
        self.last_checkpoint = now if due else self.last_checkpoint
        return due

    def progress(self) -> Progress:
        """Where the run is."""
        run, each = self.run, self.seconds_per_step()
        remaining = each * (run.total_steps - run.step) if each is not None and run.total_steps else None
        return Progress(run.step, run.total_steps, run.seconds, remaining, run.rows[-1] if run.rows else {})
