"""A run to be killed. Importing this loads all that training needs, so that processes fork from a warm one."""

import os
import time

from likely.errors import Interrupted
from likely.persistence import Checkpoints
from likely.training import TrainConfig, train
from tests.training.kinds import KINDS, run_of

INTERVAL = 5
KIND = "vae-binarized"
CONFIG = TrainConfig(epochs=11, batch_size=15, warmup=5, checkpoint_steps=INTERVAL)
"""66 steps."""


def telling(tell):
    """The rows of the run; calls `tell` before each training step, with how many there were before."""
    feed, done = KINDS[KIND].feed(), iter(range(10**9))
    ready = feed.ready

    def ready_and_tell(batch, device, *, training=False):
        if training:  # neither the first look nor a validation
            tell(next(done))
        return ready(batch, device, training=training)

    feed.ready = ready_and_tell
    return feed


def child(directory, pipe, last):
    """Trains, says before each step how many are done, and after `last` of them does no more."""

    def tell(step):
        pipe.send(step)
        if step >= last:
            time.sleep(3600)

    try:
        train(KINDS[KIND].model(), telling(tell), CONFIG, store=Checkpoints(directory))
    except Interrupted:
        os._exit(130)


run_of(KIND, TrainConfig(epochs=0.1, batch_size=15))  # the first step of a process loads as much again as torch
