"""PretrainedClassifier: what rows without labels teach it, and what it does where there are none."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from likely import Spec, TrainConfig
from likely.corruptions import GaussianNoise
from likely.data import open_source
from likely.errors import UserError
from likely.estimators import FeatureExtractor, PretrainedClassifier
from likely.estimators.fine_tuning import FEW_LABELLED, HELD_OUT, stratified
from likely.fitting import choose_split
from likely.networks import MLP
from likely.pretraining import Greedy

NETWORK = MLP((256,), activation="relu", code_activation="relu", dropout=0.3)
DENOISING = Spec("denoising_autoencoder", network=NETWORK, z_size=128, corruption=GaussianNoise(0.3))
FINE = TrainConfig(epochs=30, batch_size=16, learning_rate=1e-3)
QUICK = TrainConfig(epochs=3)


def digits(seed, n_labelled):
    """Images to learn from with labels, -1 for all but the first; images to test on with theirs."""
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    images, labels = data.images[order].astype(np.uint8), data.target[order]
    known = np.where(np.arange(1300) < n_labelled, labels[:1300], -1)
    return images[:1300], known, images[1300:], labels[1300:]


def blobs(n=60):
    """Three classes apart, of 4 columns."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return rng.normal(size=(n, 4)) + 4 * np.eye(3, 4)[y], y


def quick(**arguments):
    return PretrainedClassifier(train=QUICK, fine_tune=TrainConfig(epochs=20), random_state=0, **arguments)


# What it learns.


def test_with_a_hundred_labels_rows_without_teach_what_is_missing():
    def error(seed, pretrain):
        X, y, X_test, y_test = digits(seed, 100)
        train = TrainConfig(epochs=20)
        classifier = PretrainedClassifier(DENOISING, train=train, fine_tune=FINE, pretrain=pretrain, random_state=seed)
        return 1 - classifier.fit(X, y).score(X_test, y_test)

    with_all, with_labelled = (np.mean([error(seed, pretrain) for seed in range(3)]) for pretrain in (True, False))
    assert with_all < 0.85 * with_labelled


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_with_all_labels_it_errs_no_more_than_a_plain_network():
    """Up to one standard error of what three seeds count: 1,491 test images."""
    model = Spec("autoencoder", network=NETWORK, z_size=128, pretraining=Greedy(GaussianNoise(0.3)))
    train, fine = TrainConfig(epochs=20), TrainConfig(epochs=60, batch_size=64)
    ours, plain, n = 0, 0, 0
    for seed in range(3):
        X, y, X_test, y_test = digits(seed, 1300)
        classifier = PretrainedClassifier(model, train=train, fine_tune=fine, random_state=seed).fit(X, y)
        network = MLPClassifier((256, 128), max_iter=100, random_state=seed).fit(X.reshape(-1, 64) / 16, y)
        ours += (classifier.predict(X_test) != y_test).sum()
        plain += (network.predict(X_test.reshape(-1, 64) / 16) != y_test).sum()
        n += len(y_test)
    assert ours <= plain + (plain * (1 - plain / n)) ** 0.5


def test_the_encoder_is_trained_on_and_the_pretrained_model_stays():
    X, y = blobs()
    classifier = quick().fit(X, y)
    alone = FeatureExtractor(train=QUICK, random_state=0).fit(X).fitted_.model.state_dict()
    pretrained = classifier.pretrained_.model.state_dict()
    assert all(torch.equal(pretrained[name], alone[name]) for name in alone)
    encoder = classifier.fitted_.model.encoder.state_dict()
    assert all(not torch.equal(encoder[name], pretrained[name]) for name in encoder)


def test_the_decoder_is_dropped():
    X, y = blobs()
    for tied in (False, True):
        spec = Spec("autoencoder", network=MLP((6,), tied=tied), z_size=3)
        model = quick(model=spec).fit(X, y).fitted_.model
        names = {name for name, _ in model.named_parameters()}
        assert names
        assert not any("decoder" in name for name in names)
        assert sum(p.numel() for p in model.parameters()) == (4 + 1) * 6 + (6 + 1) * 3 + (3 + 1) * 3


def test_rows_without_a_label_count_in_pretraining_and_only_there():
    X, y = blobs()
    some = np.where(np.arange(60) < 30, y, -1)
    other = X.copy()
    other[30:] += np.random.default_rng(1).normal(size=(30, 4))
    one, two = quick().fit(X, some), quick().fit(other, some)
    assert not np.allclose(one.predict_proba(X), two.predict_proba(X))
    assert one.fitted_.history.batch_size == two.fitted_.history.batch_size <= 30
    # Without pretraining nothing but the scale of the columns is theirs, which those of them tell that are to train.
    scaling = choose_split(open_source(X), quick()._config().seed, "none", 0.0)[0].train
    swapped, unlabelled = X.copy(), scaling[scaling >= 30]
    swapped[unlabelled] = X[unlabelled[::-1]]
    one, two = quick(pretrain=False).fit(X, some), quick(pretrain=False).fit(swapped, some)
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-4)
    assert one.pretrained_ is None


# Labels.


def test_labels_of_text_and_of_numbers_are_the_same_to_it():
    X, y = blobs()
    names = np.array(["one", "three", "two"], dtype=object)
    some = np.where(np.arange(60) % 2, y, -1)
    texts = np.array([-1 if label == -1 else names[label] for label in some], dtype=object)
    numbers, of_text = quick().fit(X, some), quick().fit(X, texts)
    assert of_text.classes_.tolist() == names.tolist()
    assert (names[numbers.predict(X)] == of_text.predict(X)).all()
    np.testing.assert_array_equal(numbers.predict_proba(X), of_text.predict_proba(X))


def test_where_there_is_no_other_label_minus_one_and_one_are_two_classes():
    X, y = blobs()
    assert quick().fit(X, np.where(y == 0, -1, 1)).classes_.tolist() == [-1, 1]
    assert quick().fit(X, np.where(y == 0, -1, y - 1)).classes_.tolist() == [0, 1]


def test_refuses_labels_that_say_nothing():
    X, _ = blobs()
    with pytest.raises(UserError, match="no labelled row among 60"):
        quick().fit(X, np.full(60, -1))
    with pytest.raises(UserError, match="dtype object"):
        quick().fit(X, np.array(["a", "-1"] * 30))
    with pytest.raises(ValueError, match="continuous"):
        quick().fit(X, np.linspace(0, 1, 60))


def test_refuses_models_that_it_cannot_train():
    X, y = blobs()
    with pytest.raises(UserError, match="pretrain=True"):
        quick(model="pca", pretrain=False).fit(X, y)
    assert quick(model="pca").fit(X, y).score(X, y) > 0.9


# Its split.


def test_of_many_labelled_rows_some_of_each_class_choose_and_of_few_none():
    classes = np.repeat(np.arange(4), [1000, 900, 599, 1])
    split = stratified(classes, 0)
    assert len(np.intersect1d(split.train, split.validation)) == 0
    np.testing.assert_array_equal(np.union1d(split.train, split.validation), np.arange(2500))
    held_out = np.bincount(classes[split.validation], minlength=4)
    assert np.abs(held_out - [100, 90, 60, 0]).max() <= 1
    assert held_out[3] == 0
    assert len(stratified(classes[:FEW_LABELLED], 0).validation) == FEW_LABELLED // HELD_OUT
    assert len(stratified(classes[: FEW_LABELLED - 1], 0).validation) == 0


# As scikit-learn has it.


def test_it_takes_images_and_copies_of_itself():
    X, y, X_test, _ = digits(0, 200)
    classifier = quick().fit(X, y)
    probabilities = classifier.predict_proba(X_test)
    assert probabilities.shape == (len(X_test), 10)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(X_test), probabilities)
    np.testing.assert_array_equal(clone(classifier).fit(X, y).predict_proba(X_test), probabilities)


def test_missing_values_are_taken_where_the_model_takes_them():
    X, y = blobs()
    X[::7, 1] = np.nan
    assert quick(model="vae").fit(X, y).score(X, y) > 0.9
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(X, y)


def test_features_stand_in_a_pipeline_and_in_a_search_over_it():
    X, y = blobs()
    pipeline = make_pipeline(
        StandardScaler(), FeatureExtractor("autoencoder", train=QUICK, random_state=0), LogisticRegression()
    )
    pipeline.set_params(featureextractor__model=Spec("autoencoder", z_size=2))
    search = GridSearchCV(pipeline, {"featureextractor__model__z_size": [1, 3]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_["featureextractor"].transform(X).shape == (60, search.best_params_.popitem()[1])
    assert search.score(X, y) > 0.9
    assert GridSearchCV(quick(), {"pretrain": [True, False]}, cv=2, error_score="raise").fit(X, y).score(X, y) > 0.9
