"""`likely data` and `likely models`: looking before fitting."""

import re
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likely.cli.options import Opening, Patch, Source, as_patch, opens_data
from likely.cli.screen import clean, draw, facts, table, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from likely.data import Description

MAX_COLUMNS, MAX_PROBLEMS = 200, 30

CAPABILITIES = {
    "Encoder": "en-\ncode",
    "Decoder": "de-\ncode",
    "Reconstructor": "recon-\nstruct",
    "Sampler": "sam-\nple",
    "ExactDensity": "exact\nlog p",
    "BoundedDensity": "bound\nlog p",
    "EstimatedDensity": "about\nlog p",
    "Energy": "ener-\ngy",
    "Restorer": "re-\nstore",
    "TakesMissing": "miss-\ning\nvalues",
}
"""How tables call what a model can do, so narrow that all fit into 80 columns; else the class's own name serves."""


@opens_data
def data(source: Source, patch: Patch = None, opening: Opening = Opening()) -> None:
    """Say what would be read, and what is wrong with it.

    Rows, shape, domain, columns, labels and problems, as fit would see them.
    """
    import warnings

    from likely.cli.watched import watched
    from likely.data import describe, infer_schema, open_source

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what they say stands among the problems
        opened = open_source(source, patch=as_patch(patch), **opening.options())
        with watched(opened, f"reading {source}") as rows:
            schema = infer_schema(rows)
    show_data(describe(opened, schema), with_columns=True)


def show_data(description: "Description", *, with_columns: bool) -> None:
    """What was read, in words."""
    shape = " x ".join(map(str, description.row_shape))
    row = f"{shape} columns" if description.columns else f"{shape} ({description.kind})"
    parts = ", ".join(f"{n:,} {part}" for part, n in description.parts.items())
    found = {
        "rows": f"{description.rows:,}",
        "a row": row,
        "images": f"{description.groups:,}; a split cuts none" if description.groups else "",
        "values": description.domain,
        "labels": description.labels,
        "parts": parts,
        "missing": f"{description.missing:,} values" if description.missing else "",
    }
    title(f"Data: {description.name}")
    facts([(name, text) for name, text in found.items() if text])
    if with_columns and description.columns:
        _show_columns(description)
    if description.problems:
        title("Worth knowing")
        shown = [*description.problems[:MAX_PROBLEMS], *_more(len(description.problems) - MAX_PROBLEMS)]
        table([("-", problem) for problem in shown])


def _show_columns(description: "Description") -> None:
    title("Columns")
    rows = [(each.name, each.kind, f"{each.missing:,}", each.values) for each in description.columns[:MAX_COLUMNS]]
    table(rows, head=("name", "kind", "missing", "values"), right=(2,))
    for line in _more(len(description.columns) - MAX_COLUMNS):
        print(f"  {line}")


def _more(n: int) -> list[str]:
    return [f"... and {n:,} more"] if n > 0 else []


def models(
    name: Annotated[str | None, typer.Argument(help="One of them, in detail.", show_default=False)] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table as README.md has it.")] = False,
) -> None:
    """List every model and preset with what it can do.

    With a NAME: one of them in detail, and the arguments it takes.
    """
    if name is not None:
        _show_model(name)
    elif markdown:
        print(models_as_markdown())
    else:
        _show_models()


def _show_models() -> None:
    from likely.registry import MODELS, PRESETS, model_class

    classes = {name: model_class(name) for name in MODELS}
    title("Models")
    rows = [(name, *("x" if able else "" for able in abilities(cls))) for name, cls in classes.items()]
    table(rows, head=("", *ability_names()), fixed=len(ability_names()) + 1, gap=1)
    title("Where they come from")
    facts([(name, f"{how_fitted(cls)}; {reference(cls)}") for name, cls in classes.items()])
    title("Presets")
    facts([(name, f"{preset.as_set}; {preset.reference}") for name, preset in PRESETS.items()])
    print("\nOne in detail: likely models vae")


def models_as_markdown() -> str:
    """The tables of README.md: models with what they can do, and presets."""
    from likely.registry import MODELS, PRESETS, model_class

    names = [each.replace("-\n", "").replace("\n", " ") for each in ability_names()]
    lines = [_markdown_row("model", "fitted by", *names, "reference")]
    lines += [_markdown_row("---", "---", *(":-:" for _ in names), "---")]
    for name in MODELS:
        cls = model_class(name)
        marks = ("✓" if able else "" for able in abilities(cls))
        lines += [_markdown_row(f"`{name}`", how_fitted(cls), *marks, reference(cls))]
    lines += ["", _markdown_row("preset", "is", "reference"), _markdown_row("---", "---", "---")]
    for name, preset in PRESETS.items():
        lines += [_markdown_row(f"`{name}`", f"`{preset.as_set}`", preset.reference)]
    return "\n".join(lines)


def _markdown_row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def ability_names() -> list[str]:
    """The columns of the table of models."""
    from likely.contract import CAPABILITIES as classes

    return [CAPABILITIES.get(each.__name__, each.__name__) for each in classes]


def abilities(cls: type) -> list[bool]:
    """Which of them a model has; of two of which one includes the other, the former."""
    from likely.contract import CAPABILITIES as classes

    able = [each for each in classes if issubclass(cls, each)]
    included = {each for each in able for other in able if other is not each and issubclass(other, each)}
    return [each in able and each not in included for each in classes]


def how_fitted(cls: type) -> str:
    """ "closed form" or "gradients"."""
    from likely.contract import ClosedFormFitted

    return "closed form" if issubclass(cls, ClosedFormFitted) else "gradients"


def reference(cls: type) -> str:
    """Where a model comes from, as its docstring says."""
    return " ".join(_sections(cls).get("Reference", "").split())


def _sections(cls: type) -> dict[str, str]:
    """The parts of a Google-style docstring by their headings; what stands before the first is under ""."""
    text = textwrap.dedent(" " * 4 + (cls.__doc__ or ""))
    pieces = re.split(r"^(Args|Raises|Reference|Example):", text, flags=re.MULTILINE)
    return {"": pieces[0]} | dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _show_model(name: str) -> None:
    from likely.registry import PRESETS, Spec, model_class

    spec = Spec(name).resolve()
    cls = model_class(spec.name)
    preset = PRESETS.get(name)
    title(f"{name}: {preset.as_set}" if preset else name)
    for paragraph in _sections(cls)[""].strip().split("\n\n"):
        draw(clean(" ".join(paragraph.split())))
    can = [CAPABILITIES[each] for each, able in zip(CAPABILITIES, abilities(cls), strict=False) if able]
    title("What it does")
    words = ", ".join(each.replace("-\n", "").replace("\n", " ") for each in can)
    facts([("can", words), ("fitted by", how_fitted(cls)), ("from", preset.reference if preset else reference(cls))])
    title("Arguments, for --set name=value")
    table(_arguments(cls, preset.settings if preset else {}), head=("name", "default", "meaning"), fixed=1)
    print(f"\nNext: likely fit digits --model {name} --out runs/{name}")


def _arguments(cls: type, settings: "Mapping[str, str]") -> list[tuple[str, str, str]]:
    from likely.registry import arguments_of

    defaults: dict[str, Any] = {name: each.default for name, each in arguments_of(cls).items()}
    given = textwrap.dedent(_sections(cls).get("Args", "").lstrip("\n"))
    meanings = dict(re.findall(r"^(\w+): (.*(?:\n[ \t]+.*)*)", given, flags=re.MULTILINE))
    defaults |= settings
    for name in ("x_shape", "condition_shape"):  # the data's, never the caller's
        defaults.pop(name, None)
    return [(name, str(value), " ".join(meanings.get(name, "").split())) for name, value in defaults.items()]
