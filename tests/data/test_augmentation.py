"""Laws of augmentations: what they leave as it is, how far they move it, and that rows are drawn by themselves."""

import numpy as np
import pytest
import torch

from likely.data import augmentation, infer_schema, open_source
from likely.data.augmentation import (
    AUGMENTATIONS,
    Affine,
    Elastic,
    Flips,
    QuarterTurns,
    Shift,
    Warp,
    as_augmentations,
    augmented,
)
from likely.data.feed import SourceFeed, TensorFeed
from likely.data.subset import Subset
from likely.errors import UserError
from likely.registry import PARTS, from_json, to_json

STILL = [
    Affine(0, 0, 0, 0),
    Elastic(0),
    Warp(0, 0, 0, 0, 0),
    Shift(0),
    Flips(False, False),
]
MOVING = [Affine(30, 0.5, 0.5, 0.3), Elastic(0.1), Warp(30, 0.5, 0.5, 0.3, 0.1), Shift(3), Flips(True, True)]


def images(n=6, channels=2, h=9, w=7, dtype=torch.float64):
    return torch.rand(n, channels, h, w, dtype=dtype) + 1


def drawing(monkeypatch, *draws):
    """Every affine map is drawn as (angle, lean, scale, right, down), in shares of their largest."""

    def uniform(like, n, count):
        return torch.tensor(draws, dtype=like.dtype).unsqueeze(1).expand(count, n)

    monkeypatch.setattr(augmentation, "uniform", uniform)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("part", STILL, ids=str)
def test_without_strength_nothing_moves(part, padding):
    x = images()
    if hasattr(part, "padding") and not isinstance(part, Shift):
        part = type(part)(**{**vars(part), "padding": padding})
    torch.testing.assert_close(part.apply(x), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(part.apply(x.float()), x.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_quarter_turn_is_that_of_rot90(turn, monkeypatch):
    x = images(h=8, w=8)
    drawing(monkeypatch, turn, 0, 0, 0, 0)
    torch.testing.assert_close(Affine(90, 0, 0, 0).apply(x), torch.rot90(x, turn, (2, 3)), rtol=0, atol=1e-12)


def test_a_half_turn_of_an_oblong_image_is_that_of_rot90(monkeypatch):
    x = images(h=9, w=6)
    drawing(monkeypatch, 1, 0, 0, 0, 0)
    torch.testing.assert_close(Affine(180, 0, 0, 0).apply(x), torch.rot90(x, 2, (2, 3)), rtol=0, atol=1e-12)


def test_shifts_are_shares_of_width_and_of_height(monkeypatch):
    x = images(h=10, w=20)
    drawing(monkeypatch, 0, 0, 0, 1, -1)
    moved = Affine(0, 0, 0, 0.2).apply(x)  # reads 4 to the right and 2 above
    torch.testing.assert_close(moved[..., 2:, :-4], x[..., :-2, 4:], rtol=0, atol=1e-12)
    assert (moved[..., :2, :] == 0).all()
    assert (moved[..., -4:] == 0).all()


def test_what_is_scaled_by_two_is_half_as_large(monkeypatch):
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    x[..., 4:12, 4:12] = 1
    drawing(monkeypatch, 0, 0, 1, 0, 0)
    torch.testing.assert_close(Affine(0, 1, 0, 0).apply(x).sum(), x.sum() / 4, rtol=0.01, atol=0)


def test_what_leans_moves_with_its_height(monkeypatch):
    x = torch.zeros(1, 1, 9, 21, dtype=torch.float64)
    x[..., 10] = 1
    drawing(monkeypatch, 0, 1, 0, 0, 0)
    leaning = Affine(0, 0, 1, 0).apply(x)[0, 0]
    assert leaning.argmax(1).tolist() == [10 - (y - 4) for y in range(9)]


def test_an_affine_map_keeps_within_its_largest():
    positions = torch.tensor([[3.0, 4.0]], dtype=torch.float64).expand(5000, 1, 1, 2)
    moved = Affine(20, 0.25, 0, 0).move(positions).flatten(1)
    lengths, angles = moved.norm(dim=1) / 5, torch.rad2deg(torch.atan2(moved[:, 1], moved[:, 0]) - np.arctan2(4, 3))
    for values, low, high in ((lengths, 1 / 1.25, 1.25), (angles, -20, 20)):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high


@pytest.mark.parametrize("shape", [(12, 12), (12, 18)])
def test_an_elastic_displacement_is_as_strong_everywhere_and_as_smooth_as_it_says(shape):
    positions = torch.zeros(20_000, *shape, 2, dtype=torch.float64)
    field = Elastic(strength=0.1, smoothness=0.2).move(positions) / (0.1 * 12)
    assert field.mean(0).abs().max() < 0.04
    assert (field.std(0) - 1).abs().max() < 0.03
    width = 0.2 * 12
    for lag in (1, 3, 6):  # white noise that a Gaussian smoothed is correlated as exp(-lag^2 / 4 width^2)
        expected = np.exp(-(lag**2) / (4 * width**2))
        across = (field[:, :, lag:] * field[:, :, :-lag]).mean((0, 1, 3))
        down = (field[:, lag:] * field[:, :-lag]).mean((0, 2, 3))
        assert (across - expected).abs().max() < 0.03
        assert (down - expected).abs().max() < 0.03
    assert (field[..., 0] * field[..., 1]).mean(0).abs().max() < 0.04


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_a_shift_is_by_whole_pixels_and_each_as_likely(padding):
    x = images(n=1, h=7, w=6).expand(4000, -1, -1, -1)
    moved = Shift(2, padding).apply(x)
    total = 0
    for down in range(-2, 3):
        for right in range(-2, 3):
            rows, columns = (torch.arange(n) - by for n, by in ((7, down), (6, right)))
            expected = x[:1, :, rows.clamp(0, 6)][..., columns.clamp(0, 5)].clone()
            if padding == "zeros":
                expected[..., (rows < 0) | (rows > 6), :] = 0
                expected[..., (columns < 0) | (columns > 5)] = 0
            rolled = x[:1].roll((down, right), (2, 3))
            assert torch.equal(expected[..., 2:-2, 2:-2], rolled[..., 2:-2, 2:-2])
            count = int((moved == expected).flatten(1).all(1).sum())
            assert abs(count - 160) < 5 * 160**0.5
            total += count
    assert total == 4000


@pytest.mark.parametrize(
    ("part", "symmetries"),
    [
        (QuarterTurns(), [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]),
        (Flips(), [(0, False), (0, True)]),
        (Flips(False, True), [(0, False), (2, True)]),
        (Flips(True, True), [(0, False), (0, True), (2, False), (2, True)]),
    ],
    ids=str,
)
def test_symmetries_are_as_likely_each(part, symmetries):
    x = images(n=1, h=5, w=5).expand(4000, -1, -1, -1)
    turned, expected = part.apply(x), 4000 / len(symmetries)
    counts = []
    for turns, mirrored in symmetries:
        symmetry = torch.rot90(x[:1].flip(-1) if mirrored else x[:1], turns, (2, 3))
        counts.append(int((turned == symmetry).flatten(1).all(1).sum()))
    assert sum(counts) == 4000
    assert max(abs(count - expected) for count in counts) < 5 * expected**0.5


@pytest.mark.parametrize("part", [*MOVING, QuarterTurns()], ids=str)
def test_rows_are_drawn_by_themselves_and_again_from_the_same_state(part):
    x = images(n=1, h=8, w=8).expand(64, -1, -1, -1)
    torch.manual_seed(1)
    first = part.apply(x)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(part.apply(x), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(part.apply(x), first)
    assert len(first.flatten(1).unique(dim=0)) > 3


@pytest.mark.parametrize("part", MOVING, ids=str)
def test_channels_move_together_and_the_rows_handed_in_stay_as_they_are(part):
    x = images(channels=1).expand(-1, 3, -1, -1) * torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1)
    kept = x.clone()
    moved = part.apply(x)
    assert torch.equal(x, kept)
    assert moved.shape == x.shape
    torch.testing.assert_close(moved[:, 1:2], 2 * moved[:, :1])
    torch.testing.assert_close(moved[:, 2:], 4 * moved[:, :1])


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_values_stay_between_those_of_their_image(padding):
    x = images(n=200, channels=1)
    for part in (Warp(30, 0.5, 0.5, 0.3, 0.1, padding=padding), Affine(90, shift=1, padding=padding)):
        moved = part.apply(x)
        low = 0 if padding == "zeros" else x.amin((2, 3)) - 1e-12
        assert (moved.amin((2, 3)) >= low).all()
        assert (moved.amax((2, 3)) <= x.amax((2, 3)) + 1e-12).all()


def test_displacements_that_follow_each_other_read_the_image_once(monkeypatch):
    x = images(h=28, w=28)
    torch.manual_seed(3)
    joined = augmented(x, (Affine(), Elastic()))
    torch.manual_seed(3)
    assert torch.equal(Warp().apply(x), joined)
    drawing(monkeypatch, 1, 0, 0, 1, 0)
    turn, shift = Affine(90, 0, 0, 0), Affine(0, 0, 0, 1 / 7)
    for parts in ((turn, shift), (shift, turn)):
        one_by_one = parts[1].apply(parts[0].apply(x))
        inner = torch.zeros_like(x)
        inner[..., 4:-4, 4:-4] = 1
        torch.testing.assert_close(augmented(x, parts) * inner, one_by_one * inner, rtol=0, atol=1e-9)
    assert not torch.allclose(augmented(x, (turn, shift)), augmented(x, (shift, turn)))


def test_parts_happen_in_their_order():
    x = images(h=8, w=8)
    torch.manual_seed(3)
    together = augmented(x, (Flips(), Affine(), Shift(), QuarterTurns()))
    torch.manual_seed(3)
    for part in (Flips(), Affine(), Shift(), QuarterTurns()):
        x = part.apply(x)
    assert torch.equal(together, x)


@pytest.mark.parametrize("part", [*MOVING, QuarterTurns()], ids=str)
def test_what_is_no_image_is_refused(part):
    with pytest.raises(UserError, match=rf"{type(part).__name__} augments images .*, got rows of shape \(5,\)"):
        part.apply(torch.rand(3, 5))
    with pytest.raises(UserError, match="int64"):
        part.apply(torch.ones(3, 1, 4, 4, dtype=torch.int64))
    assert part.apply(torch.rand(0, 1, 4, 4)).shape == (0, 1, 4, 4)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match=r"square images, got 4x6; Flips\(horizontal=True, vertical=True\)"):
        QuarterTurns().apply(images(h=4, w=6))
    for make in (lambda: Affine(degrees=-1), lambda: Elastic(smoothness=0), lambda: Shift(-1), lambda: Warp(scale=-1)):
        with pytest.raises(ValueError, match=r"at least 0|above 0"):
            make()
    with pytest.raises(UserError, match=r"'wrap' is no augmentation; .*did you mean warp"):
        as_augmentations("wrap")
    with pytest.raises(UserError, match="5 is no augmentation"):
        as_augmentations(5)


def test_names_and_parts():
    assert as_augmentations("warp") == (Warp(),)
    assert as_augmentations(["QuarterTurns", Shift(1), "quarter-turns", "quarter_turns"]) == (
        QuarterTurns(), Shift(1), QuarterTurns(), QuarterTurns(),
    )  # fmt: skip
    for part in [*MOVING, *(cls() for cls in AUGMENTATIONS.values())]:
        assert type(part).__name__ in PARTS
        assert from_json(to_json(part)) == part


def test_a_source_carries_what_happens_to_its_training_rows():
    rows = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    plain = open_source(rows)
    source = open_source(plain, augment=("flips", Shift(1)))
    assert source.augmentation == (Flips(), Shift(1))
    assert plain.augmentation == ()
    assert source.digest() == plain.digest()
    np.testing.assert_array_equal(source.read(np.arange(20)), rows)
    assert Subset(source, np.arange(3)).augmentation == source.augmentation
    assert SourceFeed(source, infer_schema(source)).augmentation == source.augmentation


def test_levels_stay_levels_and_bits_are_drawn_of_what_was_augmented():
    digits = open_source("digits", augment=Warp())
    batch = SourceFeed(digits, infer_schema(digits)).load(np.arange(100))
    feed = SourceFeed(digits, infer_schema(digits))
    ready = feed.ready(batch, torch.device("cpu"), training=True).x
    assert not torch.equal(ready, batch.x)
    torch.testing.assert_close(ready * 16, (ready * 16).round())
    assert torch.equal(feed.ready(batch, torch.device("cpu")).x, batch.x)
    bits = SourceFeed(digits, infer_schema(digits, binarize=True)).ready(batch, torch.device("cpu"), training=True).x
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    real = open_source(np.random.default_rng(0).normal(size=(10, 4, 4)), augment=Warp())
    feed = SourceFeed(real, infer_schema(real))
    assert feed.augment(feed.load(np.arange(10)).x).isfinite().all()


def test_a_feed_of_tensors_takes_parts_and_names():
    x = images(dtype=torch.float32)
    feed = TensorFeed(x, augmentation="flips")
    assert feed.augmentation == (Flips(),)
    assert feed.digest() == TensorFeed(x).digest()
    assert not torch.equal(feed.augment(x), x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_device_nothing_waits_for_the_host():
    x = torch.rand(8, 1, 8, 8, device="cuda")
    for part in [*MOVING, QuarterTurns()]:
        part.apply(x)
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert part.apply(x).device == x.device
        finally:
            torch.cuda.set_sync_debug_mode("default")
