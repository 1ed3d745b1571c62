"""What a fitted model is worth on rows it has not seen: numbers, always beside baselines."""

from collections.abc import Callable, Sequence
from typing import Any

from likely.assess.bench import Bench
from likely.assess.budget import Budget
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


def assess(
    fitted: Fitted,
    test: Source,
    train: Source | None = None,
    *,
    compare: Sequence[str] = (),
    until: float | None = None,
) -> Assessment:
    """Measures a model on test rows beside baselines that learn from its training rows.

    Args:
        fitted: the model.
        test: rows that it did not learn from, with labels where there are some.
        train: rows that it learned from; without them there are no baselines.
        compare: other maps to hold the code against: of "isomap", "lle" and "tsne". They take time.
        until: a time of `time.monotonic`: what is not measured by then is left out, which a verdict says.

    Returns:
        Density (where the model has one), what the code says and a check of the bound (where there is one),
        reconstruction, restoration (where it restores), detection and code quality (where labels exist), copies and how
        near samples come to test rows (where the model samples), the code as a map (where it has one), and verdicts in
        words.

    Raises:
        UserError: if `compare` names something else, or the model has no code.
    """
    bench, budget = Bench(fitted, test, train), Budget(until)
    maps = Maps(bench, compare)
    # What takes longest comes last: it is what time may not suffice for.
    works: dict[str, Callable[[], Any]] = {
        "reconstruction": lambda: reconstruction(bench),
        "density": lambda: density(bench),
        "detection": lambda: detection(bench),
        "labels": lambda: codes(bench, maps),
        "restoration": lambda: restoration(bench),
        "the map": lambda: manifold(bench, maps),
        "its growth": lambda: curves(bench, maps),
        "the code": lambda: latent(bench),
        "copies": lambda: copies(bench),
        "samples": lambda: samples(bench),
    }
    found = {name: budget.part(name, work, None) for name, work in works.items()}
    code, drawn = found["the code"], found["samples"]
    figures = [
        *(found["density"] or ()),
        *(code.figures if code else ()),
        *(found["reconstruction"] or ()),
        *(found["restoration"] or ()),
        *(found["detection"] or ()),
        *(found["labels"] or ()),
        *(found["copies"] or ()),
        *(drawn.figures if drawn else ()),
        *(found["the map"] or ()),
    ]
    grown = found["its growth"] or []
    told = (verdict(figure, bench.name) for figure in figures)
    of_code, of_draws = (code.verdicts if code else ()), (drawn.verdicts if drawn else ())
    left_out = f"left out, for want of time: {', '.join(budget.left_out)}" if budget.left_out else ""
    verdicts = filter(None, [*of_code, *told, *of_draws, gain(grown, bench.name), left_out])
    return Assessment(
        len(test),
        tuple(figures),
        tuple(verdicts),
        tuple(grown),
        drawn.histograms if drawn else (),
        tuple(budget.left_out),
    )
