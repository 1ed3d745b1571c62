"""Figures in words: whether a model is any good."""

import math

from likely.evaluation import Figure

WORDS = {
    "log-likelihood": "Finds test rows {more} likely than {other}",
    "bits per dimension": "Codes test rows in {fewer} bits than {other}",
    "MSE": "Reconstructs test rows {better} than {other}",
    "restored PSNR": "Restores test rows {better} than {other}",
    "restored MSE": "Restores test rows {better} than {other}",
    "AUROC": "Ranks novel rows {better} than {other}",
    "linear probe accuracy": "A linear classifier reads labels from its code {better} than from {other}",
    "nearest-neighbor accuracy": "Its nearest rows tell labels {better} than those of {other}",
    "trustworthiness": "Its code makes up {fewer} neighbors than {other}",
    "continuity": "Its code tears {fewer} neighbors apart than {other}",
}


def verdict(figure: Figure, model: str) -> str:
    """A sentence that says plainly whether the model beats the best of its baselines."""
    others = {row: value for row, value in figure.values.items() if row != model}
    if figure.name == "copies":
        share = figure.values[model]
        return f"Samples are {'no copies' if share < 0.05 else 'suspiciously near to training rows'}: {share:.1%}."
    if figure.name == "intrinsic dimension":
        own, data = figure.values[model], figure.values["raw values"]
        if not (math.isfinite(own) and math.isfinite(data)):
            return ""
        return f"The data has about {data:.2g} dimensions of its own, and the codes fill about {own:.2g}."
    if figure.name == "distance contrast":
        own, data = 1 - figure.values[model], 1 - figure.values["raw values"]
        return f"The nearest row stands at {own:.0%} of the mean distance by the code, at {data:.0%} by raw values."
    if figure.name not in WORDS or not others:
        return ""
    higher = figure.better == "higher"
    other = (max if higher else min)(others, key=lambda row: others[row])
    own, numbers = figure.values[model], f"{figure.values[model]:.4g} against {others[other]:.4g}"
    if own == others[other]:
        return f"{figure.name}: no better and no worse than {other}, {numbers}."
    words = {"more": "more", "fewer": "fewer", "better": "better", "other": other}
    words |= {} if (own > others[other]) == higher else {"more": "LESS", "fewer": "MORE", "better": "WORSE"}
    return f"{WORDS[figure.name].format(**words)}: {figure.name} {numbers}."
