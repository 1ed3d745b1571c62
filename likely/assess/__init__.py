"""What a fitted model is worth on rows it has not seen: numbers, always beside baselines."""

from collections.abc import Sequence

from likely.assess.bench import Bench
from likely.assess.density import density
from likely.assess.labels import codes, detection, novel_rows
from likely.assess.latent import latent
from likely.assess.manifold import curves, gain, manifold
from likely.assess.maps import Maps
from likely.assess.restoration import restoration
from likely.assess.rows import copies, reconstruction
from likely.assess.samples import samples
from likely.assess.verdicts import verdict
from likely.data import Source
from likely.evaluation import Assessment
from likely.fitted import Fitted

__all__ = ["assess", "novel_rows"]


def assess(fitted: Fitted, test: Source, train: Source | None = None, *, compare: Sequence[str] = ()) -> Assessment:
    """Measures a model on test rows beside baselines that learn from its training rows.

    Args:
        fitted: the model.
        test: rows that it did not learn from, with labels where there are some.
        train: rows that it learned from; without them there are no baselines.
        compare: other maps to hold the code against: of "isomap", "lle" and "tsne". They take time.

    Returns:
        Density (where the model has one), what the code says and a check of the bound (where there is one),
        reconstruction, restoration (where it restores), detection and code quality (where labels exist), copies and how
        near samples come to test rows (where the model samples), the code as a map (where it has one), and verdicts in
        words.

    Raises:
        UserError: if `compare` names something else, or the model has no code.
    """
    bench = Bench(fitted, test, train)
    maps = Maps(bench, compare)
    code, drawn = latent(bench), samples(bench)
    figures = [
        *density(bench),
        *code.figures,
        *reconstruction(bench),
        *restoration(bench),
        *detection(bench),
        *codes(bench, maps),
        *copies(bench),
        *drawn.figures,
        *manifold(bench, maps),
    ]
    grown = curves(bench, maps)
    told = (verdict(figure, bench.name) for figure in figures)
    verdicts = filter(None, [*code.verdicts, *told, *drawn.verdicts, gain(grown, bench.name)])
    return Assessment(len(test), tuple(figures), tuple(verdicts), tuple(grown), drawn.histograms)
