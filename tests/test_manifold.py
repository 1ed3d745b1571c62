import itertools
import math

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_swiss_roll
from sklearn.manifold import Isomap
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from likely import evaluation
from likely.evaluation import EMBEDDINGS, Embedding


@pytest.fixture
def random():
    return np.random.default_rng(0)


def ranks(x):
    """(n, n): 1 for the nearest other row; rows that are equally near share the best rank. By brute force."""
    x = x.reshape(len(x), -1)
    found = np.zeros((len(x), len(x)), int)
    for i, j in itertools.permutations(range(len(x)), 2):
        own = ((x[i] - x[j]) ** 2).sum()
        found[i, j] = 1 + sum(((x[i] - x[m]) ** 2).sum() < own for m in range(len(x)) if m != i)
    return found


def slow_trustworthiness(x, z, k):
    """Venna & Kaski (2001), equation 1, rank by rank."""
    n, in_x, in_z = len(x), ranks(x), ranks(z)
    penalty = 0
    for i, j in itertools.permutations(range(n), 2):
        if in_z[i, j] <= k < in_x[i, j]:
            penalty += in_x[i, j] - k
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty


@pytest.mark.parametrize("k", [1, 4, 12])
def test_trustworthiness_and_continuity_equal_brute_force(random, k):
    x = random.normal(size=(30, 2, 3)) + 1e6
    z = x[:, 0, :2] - 1e6 + random.normal(0, 0.3, (30, 2))
    assert evaluation.trustworthiness(x, z, k=k).mean() == pytest.approx(slow_trustworthiness(x, z, k), abs=1e-12)
    assert evaluation.continuity(x, z, k=k).mean() == pytest.approx(slow_trustworthiness(z, x, k), abs=1e-12)


def test_trustworthiness_equals_that_of_scikit_learn(random):
    x = random.normal(size=(150, 12))
    z = np.tanh(x[:, :2])
    assert evaluation.trustworthiness(x, z).mean() == pytest.approx(sklearn_trustworthiness(x, z), abs=1e-12)
    swapped = sklearn_trustworthiness(z, x, n_neighbors=9)
    assert evaluation.continuity(x, z, k=9).mean() == pytest.approx(swapped, abs=1e-12)


def test_rows_that_are_equally_near_are_no_false_neighbors():
    x = np.repeat(np.eye(4), 5, 0)  # twenty rows in four places
    assert evaluation.trustworthiness(x, x[:, :3] * 2, k=4).tolist() == [1.0] * 20
    corners = np.eye(12)  # all at one distance: whatever is shown as near is as near as anything
    assert evaluation.trustworthiness(corners, np.arange(12.0), k=3).tolist() == [1.0] * 12


def test_a_map_that_folds_is_not_trusted_and_one_that_tears_is_not_continuous(random):
    line = np.sort(random.uniform(-1, 1, 300))[:, None]
    folded, torn = np.abs(line), line + 5 * (line > 0)
    torn[line[:, 0] > 0] = torn[line[:, 0] > 0][::-1]  # and its right half is turned over
    assert evaluation.trustworthiness(line, folded).mean() < 0.9
    assert evaluation.continuity(line, folded).mean() > 0.99
    circle = np.hstack([np.cos(np.pi * line), np.sin(np.pi * line)])
    assert evaluation.continuity(circle, line).mean() < evaluation.trustworthiness(circle, line).mean()


def test_any_rows_as_neighbors_are_worth_a_half(random):
    found = evaluation.trustworthiness(random.normal(size=(600, 5)), random.normal(size=(600, 2)))
    assert found.mean() == pytest.approx(0.5, abs=0.03)


def test_measures_of_maps_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="9 rows and 8 codes"):
        evaluation.trustworthiness(np.zeros((9, 2)), np.zeros((8, 2)))
    with pytest.raises(ValueError, match="less than half of the 10 rows, got 5"):
        evaluation.continuity(np.zeros((10, 2)), np.zeros((10, 2)), k=5)


# Intrinsic dimension


def ball(random, d, n=2000, width=30):
    """Uniform rows of a d-ball, turned into more dimensions and moved away from the origin."""
    way = random.normal(size=(n, d))
    way *= random.random((n, 1)) ** (1 / d) / np.linalg.norm(way, axis=1, keepdims=True)
    return way @ np.linalg.qr(random.normal(size=(width, d)))[0].T + 100.0


@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize(("d", "tolerance"), [(1, 0.05), (2, 0.05), (3, 0.08), (5, 0.1)])
def test_the_dimension_of_a_ball_is_found_in_a_wider_space(random, d, tolerance, k):
    assert evaluation.intrinsic_dimension(ball(random, d), k=k).mean == pytest.approx(d, rel=tolerance)


def test_a_rolled_up_plane_has_two_dimensions():
    roll, _ = make_swiss_roll(3000, random_state=0)
    for k in (2, 10):
        assert evaluation.intrinsic_dimension(roll, k=k).mean == pytest.approx(2, abs=0.15)


def test_the_error_of_a_dimension_is_a_fifth_below_its_spread_over_draws(random):
    found = [evaluation.intrinsic_dimension(ball(random, 3, 200, 4)) for _ in range(200)]
    spread = np.std([each.mean for each in found])
    # Two rows that are each other's nearest share a distance, which the error takes for two.
    assert np.mean([each.error for each in found]) == pytest.approx(0.8 * spread, rel=0.15)


def test_twins_do_not_change_a_dimension(random):
    x = ball(random, 3, 500)
    assert evaluation.intrinsic_dimension(np.repeat(x, 3, 0)).mean == pytest.approx(
        evaluation.intrinsic_dimension(x).mean, rel=1e-6
    )


def test_dimensions_of_odd_rows():
    assert evaluation.intrinsic_dimension(np.ones((9, 4))).mean == 0
    assert math.isnan(evaluation.intrinsic_dimension(np.repeat(np.eye(2), 9, 0)).mean)
    assert evaluation.intrinsic_dimension(np.eye(9)).mean == math.inf
    with pytest.raises(ValueError, match="at least 2, got 1"):
        evaluation.intrinsic_dimension(np.eye(3), k=1)
    with pytest.raises(ValueError, match="got none"):
        evaluation.intrinsic_dimension(np.zeros((0, 3)))


# What distances tell


def test_contrast_by_hand():
    # From 0: nearest 1, mean 2.5. From 1: nearest 1, mean 2. From 4: nearest 3, mean 3.5.
    assert evaluation.distance_contrast([0.0, 1.0, 4.0]) == pytest.approx([0.6, 0.5, 1 / 7])
    assert evaluation.distance_contrast(np.eye(5)) == pytest.approx(np.zeros(5), abs=1e-12)
    assert evaluation.distance_contrast(np.zeros((3, 2))).tolist() == [0, 0, 0]
    assert evaluation.distance_contrast([[1.0], [1.0], [3.0]])[:2].tolist() == [1, 1]
    with pytest.raises(ValueError, match="2 rows"):
        evaluation.distance_contrast([[1.0]])


def test_independent_dimensions_take_the_contrast_away_and_repeated_ones_do_not(random):
    noise = evaluation.growing_dimensions(random.normal(size=(400, 512)))
    assert noise.dimensions == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    assert noise.accuracy == ()
    assert (np.diff(noise.contrast) < 0).all()
    # Distances of n normal values are sqrt(2 n) with spread 1: the nearest of 400 is some 3 spreads below.
    assert noise.contrast[-1] == pytest.approx(3 / math.sqrt(2 * 512), abs=0.02)
    repeated = evaluation.growing_dimensions(np.repeat(random.normal(size=(400, 1)), 512, 1))
    assert np.ptp(repeated.contrast) < 1e-3


def test_accuracy_over_all_dimensions_is_that_of_leaving_one_out():
    digits = load_digits()
    x, y = digits.data[:300], digits.target[:300]
    alone = [
        KNeighborsClassifier(5).fit(np.delete(x, i, 0), np.delete(y, i)).predict(x[i : i + 1])[0] for i in range(300)
    ]
    expected = np.mean(alone == y)
    grown = evaluation.growing_dimensions(x, y)
    assert grown.accuracy[-1] == pytest.approx(expected, abs=0.005)  # votes that are level may fall otherwise
    assert grown.accuracy[0] < 0.4 < grown.accuracy[-1]
    assert grown.contrast[-1] == pytest.approx(evaluation.distance_contrast(x).mean())
    assert grown.dimensions[-1] == (np.ptp(x, 0) > 0).sum()  # pixels that never vary are no dimensions
    spread = x / np.where(x.std(0) > 0, x.std(0), 1)
    alone = [
        KNeighborsClassifier(5).fit(np.delete(spread, i, 0), np.delete(y, i)).predict(spread[i : i + 1])[0]
        for i in range(300)
    ]
    assert evaluation.leave_one_out_accuracy(x, y) == pytest.approx(np.mean(alone == y), abs=0.005)


def test_rows_that_are_sorted_by_label_tell_nothing_when_all_are_alike():
    labels = np.repeat(np.arange(10), 40)
    assert evaluation.growing_dimensions(np.zeros((400, 3)), labels).accuracy == pytest.approx((0.1,), abs=0.04)
    with pytest.raises(ValueError, match="400 rows and 3 labels"):
        evaluation.growing_dimensions(np.zeros((400, 3)), [1, 2, 3])


# Maps to compare with


def test_codes_are_decoded_by_their_neighbors(random):
    x, z = random.normal(size=(80, 2, 3)), random.normal(size=(80, 2))
    expected = KNeighborsRegressor(5).fit(z[:60], x[:60].reshape(60, -1)).predict(z[60:]).reshape(20, 2, 3)
    assert evaluation.neighbor_means(z[:60], x[:60], z[60:]) == pytest.approx(expected)
    among = evaluation.neighbor_means(None, x, z, k=1)
    nearest = np.where(np.eye(80) > 0, np.inf, ((z[:, None] - z) ** 2).sum(2)).argmin(1)
    assert among == pytest.approx(x[nearest])
    with pytest.raises(ValueError, match="got 3 rows and 2 codes"):
        evaluation.neighbor_means(z[:2], x[:3], z)
    with pytest.raises(ValueError, match="got none"):
        evaluation.neighbor_means(None, x[:1], z[:1])


def test_isomap_is_that_of_scikit_learn_and_unrolls_a_roll():
    roll, place = make_swiss_roll(1500, random_state=0)
    embed = Embedding("isomap", roll[:1200], 2)
    expected = Isomap(n_neighbors=10).fit(roll[:1200]).transform(roll[1200:])
    assert np.abs(embed(roll[1200:])) == pytest.approx(np.abs(expected), abs=1e-6)
    assert abs(np.corrcoef(embed(roll[1200:])[:, 0], place[1200:])[0, 1]) > 0.98


@pytest.mark.parametrize("name", ["isomap", "lle"])
def test_embeddings_take_twins_islands_and_rows_that_are_all_equal(random, recwarn, name):
    twins = np.repeat(random.normal(size=(20, 3)), 3, 0)
    for rows in (twins, np.concatenate([twins, twins + 1000]), np.zeros((30, 3))):
        assert np.isfinite(Embedding(name, rows, 2)(rows[:7])).all()
    assert not recwarn.list


def test_neighbors_of_a_tsne_map_are_neighbors(random):
    x = ball(random, 2, 200)
    for size in (2, 4):
        z = evaluation.embed_tsne(x, size)
        assert z.shape == (200, size)
        assert evaluation.trustworthiness(x, z).mean() > 0.95


def test_embeddings_refuse_what_does_not_fit(random):
    assert list(EMBEDDINGS) == ["isomap", "lle", "tsne"]
    with pytest.raises(ValueError, match="isomap or lle, got 'umap'"):
        Embedding("umap", random.normal(size=(20, 3)), 2)
    with pytest.raises(ValueError, match="1 to 8 dimensions, got 9"):
        Embedding("lle", random.normal(size=(10, 3)), 9)
    with pytest.raises(ValueError, match="1 to 8 dimensions, got 0"):
        evaluation.embed_tsne(random.normal(size=(10, 3)), 0)
