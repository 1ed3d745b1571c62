"""PretrainedClassifier."""

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from likely.contract import Encoder, GradientFitted
from likely.data import open_source
from likely.data.subset import Subset
from likely.errors import DataError, UserError
from likely.estimators.fine_tuning import Lesson, LogitEncoder, logit_encoder, stratified
from likely.estimators.learner import Learner
from likely.fitted import Fitted
from likely.fitting import Plan, Recipe, carry_out, prepare
from likely.registry import Spec
from likely.rng import seeded
from likely.training import History, TrainConfig
from likely.training import train as train_model

UNLABELLED = -1


class PretrainedClassifier(ClassifierMixin, Learner):
    """Learns from rows without labels what rows are like, and from those with one which class they are of.

    A model learns to encode all rows; then its decoder is dropped, and its encoder trained on with a softmax layer
    on the codes, on the rows that have a label. Rows labelled -1 have none, as in scikit-learn's semi-supervised
    estimators; labels of text are of dtype object then, with the number -1 among them. Only where there is no other
    label than -1 and 1 are these two classes, as they are for every other classifier.

    Args:
        model: a model's name or a Spec, of a model that encodes; by default an autoencoder. Dropout is the network's:
            Spec("autoencoder", network=MLP(dropout=0.5)).
        train: how long, how fast and where the model is trained on all rows; by default as `TrainConfig()`.
        fine_tune: the same of the encoder with its softmax layer, on the labelled rows; by default as `train`. From
            2,000 labelled rows on, one in ten of each class chooses when to stop.
        pretrain: False trains the same network on the labelled rows alone, for comparison.
        random_state: decides split, order, starting weights and noise; None takes the seeds of `train` and `fine_tune`.

    Attributes:
        classes_: the labels, sorted.
        pretrained_: the fitted model of all rows; None without pretraining.
        fitted_: encoder and softmax layer as one model, whose codes are the logits of the classes.

    Reference: Greedy Layer-Wise Training of Deep Networks (Bengio et al., 2007)

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> y = np.where(np.arange(200) < 50, X[:, 0] > 0, -1)
        >>> PretrainedClassifier().fit(X, y).predict([[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0]])
        array([1, 0])
    """

    default_model = "autoencoder"

    def __init__(
        self,
        model: str | Spec | None = None,
        *,
        train: TrainConfig | None = None,
        fine_tune: TrainConfig | None = None,
        pretrain: bool = True,
        random_state: Any = None,
    ) -> None:
        super().__init__(model, train=train, random_state=random_state)
        self.fine_tune = fine_tune
        self.pretrain = pretrain

    def fit(self, X: Any, y: Any) -> "PretrainedClassifier":
        """Learns from X (n, d) or (n, ...) and labels y (n,), -1 where a row has none."""
        self._check_encodes()
        X, y = self._validated_pair(X, y)
        ids = labelled_rows(y)
        self.classes_, classes = np.unique(y[ids], return_inverse=True)
        config = self._config()
        plan = prepare(self._spec(), open_source(X), train=config, calibrate="none", test=0.0)
        recipe = plan.recipe
        encoder = self._pretrained(plan)
        fine = config if self.fine_tune is None else self.fine_tune
        if self.random_state is not None:
            fine = dataclasses.replace(fine, seed=config.seed)
        logits, history = _fine_tuned(encoder, recipe, ids, classes, fine)
        self.fitted_ = Fitted(logits, recipe.spec, recipe.schema, history=history)
        self._settle()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each of `classes_`: (n, n_classes) float64."""
        X = self._ready(X)
        return torch.from_numpy(self._precise.encode(X)).softmax(1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row: (n,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(1)])

    def _pretrained(self, plan: Plan) -> Encoder:
        """The encoder that fine-tuning begins with; the model that it was trained in stays as it is."""
        self.pretrained_ = carry_out(plan, None) if self.pretrain else None
        recipe = plan.recipe
        model = recipe.build() if self.pretrained_ is None else copy.deepcopy(self.pretrained_.model)
        if self.pretrained_ is None and not isinstance(model, GradientFitted):
            raise UserError(f"{recipe.spec.name} is solved at once, so there is no training it without pretrain=True")
        assert isinstance(model, Encoder)
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_")


def labelled_rows(y: np.ndarray) -> np.ndarray:
    """Ids of rows that have a label.

    Raises:
        DataError: if there are none, or -1 is a text among texts.
    """
    if y.dtype.kind in "US":
        if str(UNLABELLED) in y.astype(str):
            raise DataError(
                'y holds the text "-1": for rows without a label give y of dtype object, with the number -1'
            )
        ids = np.arange(len(y))
    elif set(y.tolist()) == {-1, 1}:  # one class and the rest unlabelled would leave nothing to tell apart
        ids = np.arange(len(y))
    else:
        ids = np.flatnonzero(y != UNLABELLED)
    if not len(ids):
        raise DataError(f"found no labelled row among {len(y)}: all of y is -1, which marks rows without a label")
    check_classification_targets(y[ids])
    return ids


def _fine_tuned(
    encoder: Encoder, recipe: Recipe, ids: np.ndarray, classes: np.ndarray, config: TrainConfig
) -> tuple[LogitEncoder, History]:
    """Encoder and softmax layer, trained on the rows `ids` of the recipe's source, of these classes."""
    n_classes = int(classes.max()) + 1
    with seeded(config.seed, "fine-tuning"):
        lesson = Lesson(logit_encoder(encoder, n_classes))
    condition = F.one_hot(torch.from_numpy(classes), n_classes).float()
    labelled = dataclasses.replace(recipe, source=Subset(recipe.source, ids), condition=condition)
    history = train_model(lesson, labelled.feed(lesson.logits), config, split=stratified(classes, config.seed))
    return lesson.logits, history
