"""Augmentation in a run: training rows only, and no obstacle to going on where a run stopped."""

import dataclasses

import numpy as np
import pytest
import torch

from likely import fit
from likely.data import infer_schema, open_source
from likely.data.augmentation import Affine, Elastic, Flips, QuarterTurns, Warp
from likely.data.feed import SourceFeed, TensorFeed
from likely.errors import UserError
from likely.likelihoods import Bernoulli
from likely.models import PPCA, VAE, Autoencoder
from likely.rng import seeded
from likely.training import TrainConfig, train
from tests.training.kinds import SMALL, Memory, assert_same, assert_same_state, without_time

CONFIG = TrainConfig(epochs=4, batch_size=16, warmup=2, checkpoint_steps=1)


def squares():
    with seeded("squares"):
        return torch.rand(100, 1, 6, 6)


def model(kind=Autoencoder, **arguments):
    with seeded("model"):
        return kind((1, 6, 6), 2, network=SMALL, **arguments)


def binarized():
    """What augments before it draws bits, so that both take of the generator."""
    source = open_source((squares()[:, 0] * 255).numpy().astype(np.uint8), augment=(Warp(), "flips"))
    return SourceFeed(source, infer_schema(source, binarize=True))


@pytest.mark.parametrize(
    ("feed", "build"),
    [
        (lambda: TensorFeed(squares(), augmentation=(Affine(), Elastic(), QuarterTurns())), model),
        (binarized, lambda: model(VAE, likelihood=Bernoulli())),
    ],
    ids=["autoencoder", "binarized"],
)
def test_a_run_that_is_stopped_ends_as_the_unbroken_one(feed, build):
    unbroken, whole = Memory(), build()
    history = train(whole, feed(), CONFIG, store=unbroken)
    for step in (1, 7, 16):
        again, rest = build(), Memory(unbroken.states[step])
        history_again = train(again, feed(), CONFIG, store=rest)
        assert_same(again.state_dict(), whole.state_dict())
        assert_same_state(rest.last, unbroken.last)
        assert without_time(dataclasses.asdict(history_again)) == without_time(dataclasses.asdict(history))


def test_a_run_goes_on_with_the_same_augmentation_only():
    kept = Memory()
    train(model(), TensorFeed(squares(), augmentation=Warp()), CONFIG, store=kept)
    for other in ((), Warp(degrees=5)):
        with pytest.raises(UserError, match=r"augmentation was Warp\(degrees=10.0"):
            train(model(), TensorFeed(squares(), augmentation=other), CONFIG, store=Memory(kept.states[3]))


class Watching(TensorFeed):
    """Keeps what was made ready for the model, by whether it was to train."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.seen = {True: [], False: []}

    def ready(self, batch, device, *, training=False):
        ready = super().ready(batch, device, training=training)
        self.seen[training].append(ready.x)
        return ready


def test_rows_that_train_are_augmented_anew_and_no_others():
    rows = squares()
    known = {row.numpy().tobytes() for row in rows}
    feed = Watching(rows, augmentation=Warp())
    history = train(model(), feed, CONFIG)
    trained = [row.numpy().tobytes() for batch in feed.seen[True] for row in batch]
    assert len(trained) == history.total_steps * 16
    assert len(set(trained)) == len(trained)
    assert not known & set(trained)
    untouched = [row.numpy().tobytes() for batch in feed.seen[False] for row in batch]
    assert len(untouched) == 90 + 10 * len(history.rows)  # to start from, and at each validation
    assert known.issuperset(untouched)


def test_it_changes_what_is_learned_and_not_how_that_is_judged():
    plain, turned = model(), model()
    histories = [
        train(plain, TensorFeed(squares()), CONFIG),
        train(turned, TensorFeed(squares(), augmentation=Flips(True, True)), CONFIG),
    ]
    assert histories[0].rows[0]["validation"] == histories[1].rows[0]["validation"]
    assert histories[0].rows[-1]["validation"] != histories[1].rows[-1]["validation"]
    assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), turned.parameters(), strict=True))


def test_a_model_learns_the_symmetry_that_only_its_augmentation_shows():
    """Bars on the left only: with flips, bars on the right become as near."""
    x = torch.zeros(100, 1, 6, 6)
    x[:, 0, :, 0] = 1 + torch.rand(100, 6)
    errors = {}
    for flips in (Flips(False, False), Flips()):
        learned = model()
        train(learned, TensorFeed(x, augmentation=flips), TrainConfig(epochs=60, batch_size=16, learning_rate=0.01))
        with torch.inference_mode():
            errors[flips.horizontal] = float((learned.reconstruct(x.flip(-1)) - x.flip(-1)).square().mean())
    assert errors[True] < 0.2 * errors[False]


def test_the_closed_form_sees_rows_as_they_are():
    solved = [PPCA((1, 6, 6), 2) for _ in range(2)]
    for ppca, augmentation in zip(solved, ((), Warp()), strict=True):
        train(ppca, TensorFeed(squares(), augmentation=augmentation), CONFIG)
    assert_same(*(each.state_dict() for each in solved))


def test_fit_takes_it_tells_it_and_refuses_it_where_it_does_not_apply():
    options = {"train": TrainConfig(epochs=1), "network": SMALL, "z_size": 2, "calibrate": "none"}
    fitted = fit("autoencoder", "digits", augment=(Affine(), "elastic"), **options)
    plain = fit("autoencoder", "digits", **options)
    assert any("augmented: Affine(degrees=10.0" in line for line in fitted.info["chosen"])
    assert [part["type"] for part in fitted.info["data"]["options"]["augment"]] == ["Affine", "Elastic"]
    assert fitted.info["data"]["digest"] == plain.info["data"]["digest"]
    assert not np.array_equal(fitted.reconstruct("digits"), plain.reconstruct("digits"))
    with pytest.raises(UserError, match=r"augmentation is of images, .*leave augment \(--augment\) out"):
        fit("autoencoder", np.random.default_rng(0).normal(size=(30, 4)), augment="warp")
    with pytest.raises(UserError, match="pca is solved at once"):
        fit("pca", "digits", augment="warp")
    with pytest.raises(UserError, match="square images, got 4x6"):
        fit("autoencoder", np.random.default_rng(0).random((30, 4, 6)), augment="quarter-turns")
