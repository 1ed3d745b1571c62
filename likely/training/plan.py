"""What a run decides before its first step, and why."""

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import nn

from likely.contract import GradientFitted
from likely.errors import UserError
from likely.training.config import TrainConfig

N_MEASURED_STEPS = 50
"""Under a time limit, at least so many steps are timed before the length of the run is fixed."""

DEFAULT_EPOCHS = 30
MAX_STEPS = 20_000
"""Without a word on length: so many epochs, and no more steps than these."""

MIN_STEPS_PER_ROW = 5
LEAST_STEPS, ENOUGH_STEPS = 1_000, 3_000
"""And no fewer than so many per training row, within these bounds: small data has short epochs."""

N_VALIDATIONS = 50
MAX_VALIDATION_SHARE = 0.06
"""Rows looked at for validation, as a share of those trained on: about a third of that in time."""

TINY_WORK = 2_000_000
"""Multiplications of a step (`work_of_step`) under which one thread is faster than two."""

BFLOAT16_WORK = {"cpu": 200_000_000, "cuda": 10_000_000_000}
"""Multiplications of a step (`work_of_step`) from which bfloat16 pays, where the hardware multiplies in it.

On a CPU with AMX it was 1.03 to 3.3 times as fast as float32 for all of 17 models above that, and 0.5 to 1.7 times for
those below, where casts and small operations take the time. With AVX512_BF16 alone it was 0.4 to 0.9 times as fast for
models of any size, and without that 0.25 to 0.5 times. On a GPU smaller steps are as long as it takes to launch their
kernels, of which casts make more; that number is reckoned, not measured.
"""


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"no device is named {name!r}; give auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"there is no device {name} here, only {torch.cuda.device_count()} CUDA devices; give auto or cpu"
        )
    return device


def choose_batch_size(config: TrainConfig, n_train: int) -> int:
    """About a twentieth of small data, 128 of anything large; never more than there is."""
    if config.batch_size is not None:
        return min(config.batch_size, n_train)
    return min(n_train, max(16, min(128, 2 ** round(math.log2(max(1, n_train) / 20)))))


def choose_total_steps(config: TrainConfig, n_train: int, rows_per_step: int) -> int:
    """How many steps the schedule has; 0 under a time limit, until the step has been timed."""
    if config.time_limit is not None:
        return 0
    if config.epochs is not None:
        return max(1, math.ceil(config.epochs * n_train / rows_per_step))
    least = min(ENOUGH_STEPS, max(LEAST_STEPS, MIN_STEPS_PER_ROW * n_train))
    return min(MAX_STEPS, max(least, math.ceil(DEFAULT_EPOCHS * n_train / rows_per_step)))


def choose_validation_interval(total_steps: int, n_validation: int, rows_per_step: int) -> int:
    """Steps between two validations: about fifty a run, fewer where validation would cost too much."""
    by_cost = math.ceil(n_validation / (rows_per_step * MAX_VALIDATION_SHARE))
    return max(1, math.ceil(total_steps / N_VALIDATIONS), by_cost)


def work_of_step(model: GradientFitted, n_rows: int) -> int:
    """Multiplications of a pass over some rows, roughly: once with each parameter, at all pixels where it convolves."""
    at_all_pixels = sum(
        parameter.numel()
        for layer in model.modules()
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and set(layer.stride) == {1}
        for parameter in layer.parameters(recurse=False)
    )
    once = sum(parameter.numel() for parameter in model.parameters()) - at_all_pixels
    return n_rows * (once + at_all_pixels * math.prod(model.x_shape[1:]))


@contextlib.contextmanager
def compute_settings(model: GradientFitted, batch_size: int) -> Iterator[None]:
    """Threads that suit the size of a step, and denormal numbers flushed to zero; as it was afterwards.

    Both are settings of the thread that trains; others, and those that begin meanwhile, keep what they have.
    """
    threads, flushed = torch.get_num_threads(), _flushes_denormals()
    if work_of_step(model, batch_size) < TINY_WORK:
        _set_own_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        if torch.get_num_threads() != threads:
            _set_own_threads(threads)


_SETTING_THREADS = threading.Lock()


def _begin_in_child() -> None:
    """After a fork: whoever held the lock is not there any more."""
    global _SETTING_THREADS
    _SETTING_THREADS = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


def _set_own_threads(n: int) -> None:
    """`torch.set_num_threads` for this thread alone: torch would have all threads that begin later take n as well."""
    with _SETTING_THREADS, ThreadPoolExecutor(1) as beginner:
        of_beginners = beginner.submit(torch.get_num_threads).result()
        torch.set_num_threads(n)
        beginner.submit(torch.set_num_threads, of_beginners).result()


def _flushes_denormals() -> bool:
    return float(torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64) / 2) == 0


@dataclass(frozen=True)
class Precision:
    """What the networks run in, and why."""

    name: str
    why: str

    def context(self, device: torch.device) -> contextlib.AbstractContextManager:
        """Inside, matrix products and convolutions run in this precision."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.name == "bfloat16")


def choose_precision(config: TrainConfig, model: GradientFitted, batch_size: int) -> Precision:
    """The precision that was asked for, or by a rule: a function of the model, the size of a step and the hardware.

    No clock has a say in it, so that the same seed gives the same weights on a machine that is busy.

    Raises:
        UserError: if float64 is asked for, and the model is none.
    """
    own = next(model.parameters())
    if own.dtype == torch.float64:
        return Precision("float64", "as the model is")
    if config.precision == "float64":
        raise UserError("precision float64 needs a model and rows of float64: call model.double() first")
    if config.precision != "auto":
        return Precision(config.precision, "as asked for")
    if work_of_step(model, batch_size) < BFLOAT16_WORK.get(own.device.type, math.inf):
        return Precision("float32", "the network is small")
    if not multiplies_in_bfloat16(own.device):
        return Precision("float32", "bfloat16 is no faster on this device")
    return Precision("bfloat16", "the network is large, and this device multiplies in bfloat16")


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has units for products of matrices in bfloat16: AMX of a CPU, tensor cores of a GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()
