"""Rows often come sorted: whoever looks at some of them looks at a random sample, never at the first ones."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import likely
from likely.assess.bench import Bench
from likely.assess.maps import Maps
from likely.boltzmann import ParallelTempering
from likely.contract import Batch, ClosedFormFitted, Objective
from likely.data import open_source
from likely.data.feed import TensorFeed
from likely.data.split import split_rows
from likely.data.subset import some_rows
from likely.evaluation import Assessment, linear_probe_accuracy
from likely.evaluation.mmd import median_distance
from likely.models import DBN, GSN, RBM, VAE, Autoencoder
from likely.networks import MLP
from likely.pretraining import Greedy
from likely.registry import MODELS, arguments_of, model_class
from likely.report import ReportParts
from likely.report.gather import _Seen
from likely.rng import seeded, some_of
from likely.training import TrainConfig, train
from likely.training.descent import starting_rows
from likely.training.run import Run
from likely.variational import VampPrior

N_CLASSES = 10
SHORT = TrainConfig(epochs=0.02, batch_size=16)


def sorted_rows(n=5000, n_classes=N_CLASSES, width=2):
    """Rows whose first value is their class, sorted by it, and the classes as conditions."""
    labels = torch.arange(n) * n_classes // n
    x = torch.cat([labels[:, None].float(), torch.randn(n, width - 1)], 1)
    return TensorFeed(x, F.one_hot(labels, n_classes).float())


def sorted_bits(n=2000):
    """Rows of zeros, then as many of ones."""
    return TensorFeed((torch.arange(n) >= n // 2).float()[:, None].expand(n, 4).clone())


def assert_sampled(counts, shares):
    """Whether counts are those of a sample with these shares: chi-squared, within five standard deviations."""
    counts, shares = np.asarray(counts, float), np.asarray(shares, float)
    expected = counts.sum() * shares
    dof = len(shares) - 1
    assert ((counts - expected) ** 2 / expected).sum() < dof + 5 * math.sqrt(2 * dof)


def classes_of(x, n_classes=N_CLASSES):
    return torch.bincount(x[:, 0].round().long(), minlength=n_classes)


@pytest.mark.parametrize("in_memory", [True, False])
def test_starting_rows_come_in_random_order_and_with_their_own_conditions(in_memory, monkeypatch):
    monkeypatch.setattr("likely.training.descent.N_INITIALIZE", 3000)
    feed = sorted_rows()
    read = []
    feed.load = lambda ids: read.append(ids) or TensorFeed.load(feed, ids)
    feed.in_memory = in_memory
    split = split_rows(5000, 0, calibration=0, test=0)
    with seeded("test"):
        batch, again = (starting_rows(feed, split, TrainConfig(), torch.device("cpu")) for _ in range(2))
    torch.testing.assert_close(batch.x[:, 0].long(), batch.condition.argmax(1))
    assert len(batch.x.unique(dim=0)) == 3000
    for first in (64, 500, 3000):
        assert_sampled(classes_of(batch.x[:first]), np.full(N_CLASSES, 0.1))
    # Files are read in the order in which they lie, whatever order the rows come in.
    assert (np.diff(read[0]) > 0).all()
    assert torch.equal(batch.x, again.x)


@pytest.mark.parametrize("n_classes", [10, 300])
@pytest.mark.parametrize("n", [600, 5000])
def test_conditions_are_remembered_as_often_as_they_are_there(n, n_classes):
    """Also in a loop of one's own, which hands in all conditions, sorted; and of more classes than a batch has rows."""
    labels = torch.arange(n) * n_classes // n
    model = VAE((2,), 2, network=MLP((4,)), condition_shape=(n_classes,))
    model.remember_conditions(F.one_hot(labels, n_classes).float())
    counts = model.seen_conditions.sum(0)
    assert_sampled(counts, torch.bincount(labels) / n)
    if n < 1024:  # all of them, and no row more than once more often than another
        assert set(counts.tolist()) <= {1024 // n * (n // n_classes) + i for i in range(n // n_classes + 1)}


CONDITIONAL = [name for name in MODELS if "condition_shape" in arguments_of(model_class(name))]


@pytest.mark.parametrize("name", CONDITIONAL)
def test_every_conditional_model_draws_each_class_at_its_share(name):
    feed = sorted_rows(2000)
    if "levels" in arguments_of(model_class(name)) or name in ("pixel_cnn", "gated_pixel_cnn", "pixel_rnn"):
        feed = TensorFeed(torch.randint(2, (2000, 1, 2, 2)).float(), feed.condition)
    fill = {"levels": 2} if "levels" in arguments_of(model_class(name)) else {}
    model = model_class(name)(feed.x_shape, condition_shape=(N_CLASSES,), **fill)
    train(model, feed, SHORT)
    assert_sampled(model.seen_conditions.sum(0), np.full(N_CLASSES, 0.1))
    with seeded("test"):
        conditions = model.draw_conditions(2000)
    assert_sampled(conditions.sum(0), model.seen_conditions.mean(0))


def test_samples_of_a_conditional_model_are_of_all_classes():
    """End to end: ten classes far apart, sorted, one of them rare."""
    labels = np.repeat(np.arange(N_CLASSES), [290] * 9 + [90])
    x = np.random.default_rng(0).normal(size=(len(labels), 2)) + 100 * labels[:, None]
    source = open_source(x)
    source.labels = labels.astype(str)
    config = TrainConfig(epochs=20, batch_size=64, learning_rate=0.02)
    fitted = likely.fit("vae", source, z_size=1, network=MLP((16,)), condition="label", calibrate="none", train=config)
    known = fitted.model.seen_conditions.mean(0)
    assert_sampled(1024 * known, np.bincount(labels) / len(labels))
    drawn = np.rint(fitted.sample(1000).mean(1) / 100).clip(0, 9).astype(int)
    assert_sampled(np.bincount(drawn, minlength=N_CLASSES), known)


STARTS = {
    "pseudo-inputs": (
        lambda: VAE((2,), 2, network=MLP((4,)), prior=VampPrior(100)),
        lambda m: m.code_prior.pseudo_inputs,
    ),
    "chains of a GSN": (lambda: GSN((2,), 4, network=MLP((4,))), lambda m: m.marginals),
}


@pytest.mark.parametrize("name", STARTS)
def test_what_a_model_keeps_of_sorted_rows_is_of_all_classes(name):
    build, kept = STARTS[name]
    model = build()
    model.initialize(Batch(sorted_rows().x))
    assert_sampled(classes_of(kept(model).detach()), np.full(N_CLASSES, 0.1))


@pytest.mark.parametrize("learning", [None, ParallelTempering(2, 64)])
def test_persistent_chains_begin_at_rows_of_all_kinds(learning):
    model = RBM((4,), 4, learning=learning)
    with torch.no_grad():  # so that hidden units say what the visible ones are
        model.layer.machine.weight.fill_(5.0)
    model.layer.negative.start(model.layer.machine, sorted_bits().x)
    of_ones = model.layer.negative.hidden.float().mean(-1)
    assert 0.25 < float(of_ones.mean()) < 0.75


class FirstBatch(ClosedFormFitted):
    """Knows the first batch of its first pass, as a solver does that begins there."""

    def __init__(self, x_shape, condition_shape=None):
        super().__init__(x_shape, condition_shape)
        self.register_buffer("first", torch.zeros(64))

    def _solve(self, batches):
        self.first.copy_(next(iter(batches)).x[:64, 0])


def test_a_closed_form_sees_all_classes_in_its_first_batch_and_remembers_conditions(monkeypatch):
    monkeypatch.setattr("likely.training.loop.CLOSED_FORM_BATCH", 64)
    model = FirstBatch((2,), condition_shape=(N_CLASSES,))
    train(model, sorted_rows())
    assert_sampled(classes_of(model.first[:, None]), np.full(N_CLASSES, 0.1))
    assert_sampled(model.seen_conditions.sum(0), np.full(N_CLASSES, 0.1))


WHOLES = {
    "at once": lambda: Autoencoder((4,), 2, network=MLP((3,))),
    "greedy": lambda: Autoencoder((4,), 2, network=MLP((3,)), pretraining=Greedy()),
    "stacked": lambda: DBN((4,), (3, 3)),
}


@pytest.mark.parametrize("whole", WHOLES)
def test_whatever_is_trained_begins_with_rows_in_random_order(whole, monkeypatch):
    """Also each stage of a stack, and a whole that is trained layer by layer."""
    begun = []
    monkeypatch.setattr(Autoencoder, "initialize", lambda self, batch: begun.append(batch.x))
    monkeypatch.setattr("likely.boltzmann.layer.LearningMachine.start", lambda self, v, below=None: begun.append(v))
    model = WHOLES[whole]()
    feed = sorted_bits()
    if whole == "stacked":  # what the second machine is handed says what the rows were
        with torch.no_grad():
            model.layers[0].machine.weight.fill_(5.0)
    train(model, feed, SHORT)
    assert len(begun) == (2 if whole == "stacked" else 1)
    for rows in begun:
        assert 20 < float(rows[:80].mean(1).round().sum()) < 60


def test_rows_held_out_are_compared_with_rows_of_all_classes(monkeypatch):
    """Terms over a batch (the variety of a generator, say) would else be those of one class."""
    monkeypatch.setattr("likely.training.run.VALIDATION_BATCH", 64)
    feed = TensorFeed(sorted_rows(2000).x)
    split = split_rows(2000, 0, validation=0.5, calibration=0, test=0)
    run = Run(Autoencoder((2,), 1, network=MLP((2,))), feed, split, TrainConfig(), 16)
    run.set_length(10)
    seen = []
    run.model._objective = lambda x, condition, player: seen.append(x) or Objective(x.sum(1))
    with seeded("test"):
        run.validate()
    assert sum(map(len, seen)) == 1000
    for x in seen[:-1]:
        assert_sampled(classes_of(x), np.full(N_CLASSES, 0.1))
    assert torch.equal(torch.cat(seen)[:, 0].sort().values, feed.x[split.validation, 0])


# What is looked at of a fitted model.

PERIOD = 10


@pytest.mark.parametrize("order", ["sorted", "periodic"])
def test_some_rows_of_a_source_are_a_random_sample(order):
    """Rows at even steps would be of one class where classes take turns."""
    labels = np.arange(4910) * 10 // 4910 if order == "sorted" else np.arange(4910) % PERIOD
    source = open_source(labels[:, None].astype(float) + 0.25)
    for most in (50, 491, 10_000):
        some = some_rows(source, most)
        rows = some.read(np.arange(len(some)))[:, 0]
        assert len(some) == min(most, 4910)
        assert_sampled(np.bincount(rows.astype(int)), np.full(10, 0.1))
    assert len(np.unique(some_rows(source, 491).ids)) == 491
    assert some_rows(source, 4910) is source


def test_a_probe_learns_from_codes_of_all_classes_however_they_are_ordered(monkeypatch):
    monkeypatch.setattr("likely.evaluation.codes.MAX_TRAIN_ROWS", 50)
    labels = np.arange(PERIOD * 49 + 1) % PERIOD  # every tenth row is of class 0
    codes = np.eye(PERIOD)[labels]
    assert linear_probe_accuracy(codes, labels, codes, labels) > 0.8


def test_a_median_distance_is_that_of_all_rows_however_they_are_ordered(monkeypatch):
    monkeypatch.setattr("likely.evaluation.mmd.MAX_MEDIAN_ROWS", 50)
    rows = (torch.arange(PERIOD * 49 + 1) % PERIOD == 0).double()[:, None] * 1e-3 + torch.arange(PERIOD * 49 + 1)[
        :, None
    ] % PERIOD
    assert median_distance(rows) > 1


@pytest.fixture(scope="module")
def periodic():
    """4,901 rows of ten classes in turn, and a model of them."""
    labels = np.arange(4901) % PERIOD
    x = np.random.default_rng(0).normal(size=(4901, 3)) + labels[:, None]
    source = open_source(x)
    source.labels = labels.astype(str)
    return likely.fit("pca", source, z_size=1, calibrate="none"), source


def test_figures_and_maps_are_of_a_random_sample(periodic, monkeypatch):
    fitted, source = periodic
    monkeypatch.setattr("likely.assess.bench.MAX_ROWS", 491)
    bench = Bench(fitted, source, source)
    looked_at = {
        "test": bench.some_test,
        "training": bench.some_train,
        "pairs": Maps(bench).paired(source, 491),
    }
    for rows in looked_at.values():
        assert len(rows) == 491
        assert_sampled(np.bincount(rows.labels.astype(int)), np.full(10, 0.1))


def test_pictures_of_a_report_are_of_random_rows(periodic):
    """Of 4,901 test rows in turn, or sorted."""
    fitted, source = periodic
    for test in (np.arange(4901), np.argsort(np.arange(4901) % PERIOD, kind="stable")):
        seen = _Seen(fitted, ReportParts(source, np.arange(4901), test, Assessment(4901)))
        labels = seen.test.labels.astype(int)
        assert len(labels) == 2000
        assert_sampled(np.bincount(labels), np.full(10, 0.1))
        assert_sampled(np.bincount(labels[:50], minlength=10), np.full(10, 0.1))


def test_some_of_is_a_sample_without_repetition_in_random_order():
    firsts = np.array([some_of(5, 2, "key", i) for i in range(3000)])
    assert (firsts[:, 0] != firsts[:, 1]).all()
    for place in (0, 1):
        assert_sampled(np.bincount(firsts[:, place]), np.full(5, 0.2))
    assert sorted(some_of(5, 9, "key")) == [0, 1, 2, 3, 4]
    assert np.array_equal(some_of(50, 9, "key"), some_of(50, 9, "key"))
