"""What the code says, in a report: the rate of each of its values, and how far its bound can be believed."""

from typing import Any

from likely.assess.latent import OWN_FIGURES, use_of
from likely.contract import LatentDensity
from likely.data import Source
from likely.evaluation import Assessment, Figure
from likely.fitted import Fitted
from likely.report import charts
from likely.report.contents import UnitRates
from likely.report.words import MARKS, cell, with_error

CHECKED = "checked log-likelihood"


def gathered(fitted: Fitted, rows: Source) -> UnitRates | None:
    """The rate of each value of the code; None where there is none, or it does not fall into values."""
    model = fitted.model
    if not isinstance(model, LatentDensity) or len(rows) < 2:
        return None
    if model.condition_shape is not None and rows.labels is None:
        return None
    use = use_of(fitted, rows)
    return None if use.unit_rates is None else UnitRates(use.unit_rates.numpy(), use.active.numpy())


def code_use(rates: UnitRates | None, assessment: Assessment | None) -> dict[str, Any] | None:
    """A bar for each value of the code, and the figures on it in words."""
    found = [] if assessment is None else [assessment.figure(name) for name in OWN_FIGURES]
    figures = [each for each in found if each is not None]
    if not figures and rates is None:
        return None
    return {
        "chart": None if rates is None else charts.unit_rates(rates.rates, rates.active),
        "facts": [(each.name, _in_words(each)) for each in figures if each.name != CHECKED],
        "checked": [_estimates(each) for each in figures if each.name == CHECKED],
        "notes": [(each.name, each.note) for each in figures if each.note],
    }


def _in_words(shown: Figure) -> str:
    name = next(iter(shown.values))
    value, error = with_error(shown.values[name], shown.errors.get(name))
    text = f"{value} ± {error}" if error else cell(round(shown.values[name]))
    return f"{text} {shown.unit}"


def _estimates(shown: Figure) -> dict[str, Any]:
    """Log-likelihoods of the same rows by one way and another, to the same decimals."""
    own, rows = next(iter(shown.values)), []
    for name, value in shown.values.items():
        text, error = with_error(value, shown.errors.get(name))
        mark, title = MARKS.get(shown.marks.get(name, ""), ""), f"importance samples of {name}" if name == own else name
        rows.append({"name": title, "mark": mark, "value": text, "error": error})
    return {"rows": rows, "unit": shown.unit}
