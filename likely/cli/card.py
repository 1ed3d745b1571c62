"""The model card: what README.md in a fitted directory says."""

import math
import re
from typing import TYPE_CHECKING

from likely.cli.looking import how_fitted, reference
from likely.cli.results import next_commands, value_of
from likely.cli.screen import clean

if TYPE_CHECKING:
    from likely.data import Description
    from likely.evaluation import Assessment
    from likely.fitted import Fitted


def model_card(fitted: "Fitted", description: "Description", assessment: "Assessment", directory: str) -> bytes:
    """Markdown with the YAML header that model hubs read."""
    name = fitted.spec.name
    pieces = [
        _header(name, fitted.schema.kind),
        f"# {name} of {_plain(description.name)}",
        _opening(fitted, description),
        *(f"- {_plain(verdict)}" for verdict in assessment.verdicts),
        "\n## Model",
        _model(fitted),
        "\n## Data",
        _data(fitted, description),
        f"\n## Figures on {assessment.n_test:,} test rows",
        _figures(assessment),
        "\n## Limits",
        *(f"- {_plain(line)}" for line in _limits(fitted, description)),
        "\n## Use",
        _use(fitted, directory, description.name),
    ]
    return ("\n".join(pieces) + "\n").encode("utf-8", "backslashreplace")


def _header(name: str, kind: str) -> str:
    tags = "".join(f"\n- {tag}" for tag in ("likely", name, kind, "unsupervised"))
    return f"---\nlibrary_name: likely\ntags:{tags}\n---\n"


def _opening(fitted: "Fitted", description: "Description") -> str:
    from likely import __version__

    n, created = fitted.info.get("split", {}).get("train", description.rows), fitted.info.get("created", "")
    return f"Learned from {n:,} rows by likely {__version__}, {created}.\n"


def _model(fitted: "Fitted") -> str:
    cls, training = type(fitted.model), fitted.info.get("training", {})
    arguments = {name: value for name, value in fitted.model.config().items() if name != "x_shape"}
    lines = [f"- {name}: {_code(str(value))}" for name, value in arguments.items()]
    lines += [f"- fitted by {how_fitted(cls)} in {training.get('seconds', 0):.3g} s, {training.get('precision', '')}"]
    lines += [f"- {_plain(line)}" for line in fitted.info.get("chosen", ())]
    return "\n".join([*lines, f"- reference: {_plain(reference(cls))}"])


def _data(fitted: "Fitted", description: "Description") -> str:
    split = ", ".join(f"{n:,} {part}" for part, n in fitted.info.get("split", {}).items())
    shape = " x ".join(map(str, description.row_shape))
    return (
        f"- source: {_code(description.name)}, {description.rows:,} rows of {shape}, {description.kind}\n"
        f"- values: {description.domain}\n- labels: {_plain(description.labels)}\n- split by row: {split}"
    )


def _figures(assessment: "Assessment") -> str:
    names = assessment.row_names()
    lines = [_row("", *names), f"| {' | '.join(['---', *('---' for _ in names)])} |"]
    for figure in assessment.figures:
        title = f"{figure.name} ({figure.unit})" if figure.unit else figure.name
        lines.append(_row(title, *(value_of(figure, name) if name in figure.values else "" for name in names)))
    marks = "= exact, <= at most, >= at least, ~ estimated; ± one standard error."
    return "\n".join([*lines, "", marks, *(_plain(figure.note) for figure in assessment.figures if figure.note)])


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _limits(fitted: "Fitted", description: "Description") -> list[str]:
    from likely.contract import Density

    limits = list(description.problems)
    if isinstance(fitted.model, Density):
        limits.append(
            "A row that is unlikely is not wrong for that, and simple rows can be likelier than those learned."
        )
    if fitted.calibration is None:
        return [*limits, "Not calibrated: it gives no p-values and flags nothing."]
    lowest = 1 / (len(fitted.calibration.surprises) + 1)
    digits = max(1, math.ceil(-math.log10(lowest)) + 1)
    limits.append(f"p-values go down to {lowest:.{digits}f} and hold for rows that come as those it learned from.")
    gaps = fitted.calibration.gaps
    if gaps is not None:
        limits.append(f"It keeps {len(gaps.x):,} of the calibration rows as they are, to hold rows with gaps against.")
    if noise := fitted.calibration.noise_told():
        limits.append(f"{noise[:1].upper()}{noise[1:]}.")
    return limits


def _use(fitted: "Fitted", directory: str, data: str) -> str:
    commands = "\n".join(next_commands(fitted, directory, data))
    return (
        f"```python\nimport likely\n\nfitted = likely.load({directory!r})\nscores = fitted.score(rows)\n```\n\n"
        f"```sh\n{commands}\n```"
    )


_ACTIVE = re.compile(
    r"\\(?=[!-/:-@\[-`{-~])|[`*\[$|@]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|~(?=\S)|(?<=\S)~"
    r"|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?i:(?<=www)\.)|^#|^>(?!=)|^[+-](?=\s)"
)
"""What Markdown acts on: emphasis, links (typed out, too), HTML, tables, formulas, names of people, headings, lists."""


def _plain(text: str) -> str:
    """On one line, with nothing that Markdown or HTML would act on."""
    return _ACTIVE.sub(r"\\\g<0>", " ".join(clean(text).split()))


def _code(text: str) -> str:
    """On one line, as code: between more backticks than stand together in it."""
    text = " ".join(clean(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}"
