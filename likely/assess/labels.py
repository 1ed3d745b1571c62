"""What labels tell of a model that did not see them: which rows are novel, and what its code keeps."""

import numpy as np

from likely.assess.bench import MEANS, Bench
from likely.assess.maps import Maps
from likely.contract import Encoder
from likely.evaluation import (
    Figure,
    accuracy_error,
    auroc,
    auroc_error,
    average_precision,
    leave_one_out_accuracy,
    linear_probe_accuracy,
    nearest_neighbor_accuracy,
)

NOVEL_NAMES = ("1", "anomaly", "abnormal", "novel", "outlier", "bad", "defect")
NORMAL_NAMES = ("0", "normal", "ordinary", "inlier", "good", "ok")


def novel_rows(labels: np.ndarray | None, classes: tuple[str, ...]) -> np.ndarray | None:
    """Which rows their labels call novel: of classes not seen at fit, or "1" of 0/1 labels; None where none is."""
    if labels is None:
        return None
    names = np.array([str(label).lower() for label in labels])
    if set(names) <= {*NOVEL_NAMES, *NORMAL_NAMES}:
        novel = np.isin(names, NOVEL_NAMES)
    else:
        novel = ~np.isin([str(label) for label in labels], classes)
    return novel if novel.any() and not novel.all() else None


def detection(bench: Bench) -> list[Figure]:
    """How well surprise ranks rows that are novel by their labels, where there are some."""
    novel = novel_rows(bench.test.labels, bench.schema.classes)
    if novel is None:
        return []
    surprise = bench.beside("pca", lambda fitted: fitted.anomaly_score(bench.test))
    surprise |= {row: each.anomaly_score(bench.test) for row, each in bench.baseline("ppca").items()}
    if bench.some_train is not None:
        off = bench.plain(bench.test) - np.nanmean(bench.plain(bench.some_train), 0)
        surprise[MEANS] = np.nansum((off**2).reshape(len(off), -1), 1)
    area = {row: auroc(values, novel) for row, values in surprise.items()}
    errors = {row: auroc_error(values, novel) for row, values in surprise.items()}
    precision = {row: average_precision(values, novel) for row, values in surprise.items()}
    note = f"{int(novel.sum())} of {len(novel)} test rows are novel by their labels; guessing gives {novel.mean():.3g}."
    return [
        Figure("AUROC", "", "higher", area, errors=errors),
        Figure("average precision", "", "higher", precision, note=note),
    ]


def codes(bench: Bench, maps: Maps) -> list[Figure]:
    """What simple classifiers read from the code, where there are labels."""
    train, test = bench.some_train, bench.some_test
    if not isinstance(bench.model, Encoder) or train is None or train.labels is None or test.labels is None:
        return []
    if len(np.unique(train.labels)) < 2:
        return []
    coded = bench.beside("pca", lambda fitted: (fitted.encode(train), fitted.encode(test)))
    raw = maps.raw(train), maps.raw(test)
    coded |= {"raw values": raw} | {row: (embed(raw[0]), embed(raw[1])) for row, embed in maps.embeddings.items()}
    judged = {"linear probe accuracy": linear_probe_accuracy, "nearest-neighbor accuracy": nearest_neighbor_accuracy}
    values = {
        name: {row: judge(a, train.labels, b, test.labels) for row, (a, b) in coded.items()}
        for name, judge in judged.items()
    }
    note, counts = "", dict.fromkeys(coded, len(test))
    labels = maps.rows.labels
    if maps.tsne and labels is not None and len(np.unique(labels)) > 1:
        values["nearest-neighbor accuracy"] |= {row: leave_one_out_accuracy(z, labels) for row, z in maps.tsne.items()}
        counts |= dict.fromkeys(maps.tsne, len(maps.rows))
        note = f"t-SNE has no map for new rows: each of {len(maps.rows):,} test rows is judged by the others of them."
    return [
        Figure(
            name,
            "share of test rows",
            "higher",
            each,
            errors={row: accuracy_error(value, counts[row]) for row, value in each.items()},
            note=note if name == "nearest-neighbor accuracy" else "",
        )
        for name, each in values.items()
    ]
