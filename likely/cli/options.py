"""Options that several verbs take, and what their texts mean."""

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likely.errors import UserError

if TYPE_CHECKING:
    from likely.fitted import Fitted

Directory = Annotated[str, typer.Argument(metavar="DIR", help="What `likely fit` wrote.", show_default=False)]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="digits, an .npy or .npz file, a table (.csv .tsv .txt .jsonl .xlsx .parquet), or a folder of images "
        "(sub-folders are labels).",
        show_default=False,
    ),
]
OptionalSource = Annotated[
    str | None, typer.Argument(metavar="[SOURCE]", help="Other rows than those kept for testing.", show_default=False)
]
Label = Annotated[str | None, typer.Option(help="Column that holds labels; they serve evaluation only.")]
Drop = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column to leave out; may be repeated.")]
Size = Annotated[str | None, typer.Option(metavar="HxW", help="Resize images to this height and width.")]
Channels = Annotated[int | None, typer.Option(help="1 reads images as gray, 3 as RGB.")]
Patch = Annotated[
    str | None,
    typer.Option(metavar="N or HxW", help="Cut images of any size into patches of this size, and take those for rows."),
]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="What happens to images while they train: warp, affine, elastic, shift, flips, quarter-turns, or JSON "
        'such as {"type": "Affine", "degrees": 5}; may be repeated.',
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Compare = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Hold the code against other maps too: isomap, lle, tsne, with commas between them. Takes a while.",
        show_default=False,
    ),
]
FalseAlarmRate = Annotated[
    float | None,
    typer.Option(help="Share of ordinary rows that may be flagged; 0.05, or what fit was told.", show_default=False),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")]
Id = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="COLUMN", help="Column of the table to stand before the answers; may be repeated."),
]
Keep = Annotated[bool, typer.Option("--keep", help="All columns of the table before the answers.")]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Refuse rows that hold what was not there at fit, and list all that they hold."),
]

Missing = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD", help="What means missing in a table, such as NA or -999; may be repeated."),
]


@dataclass(frozen=True)
class Opening:
    """How data is to be opened: the options that every verb has that opens some."""

    label: str | None = None
    drop: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    channels: int | None = None
    missing: tuple[str, ...] = ()

    def options(self) -> dict[str, Any]:
        """As `likely.data.open_source` and `likely.reopening.open_like` take them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _opening(
    label: Label = None,
    drop: Drop = None,
    size: Size = None,
    channels: Channels = None,
    missing: Missing = None,
) -> Opening:
    return Opening(label, tuple(drop or ()), as_size(size), channels, tuple(missing or ()))


def opens_data(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb the options of `Opening`, in place of its argument `opening`."""
    own, shared = (inspect.signature(each, eval_str=True).parameters for each in (verb, _opening))

    @functools.wraps(verb)
    def with_options(**given: Any) -> None:
        opening = _opening(**{name: given.pop(name) for name in shared if name in given})
        verb(**given, opening=opening)

    parameters = [each for name, each in own.items() if name != "opening"]
    with_options.__signature__ = inspect.Signature([*parameters, *shared.values()])  # type: ignore[attr-defined]
    return with_options


UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def as_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) of "HxW"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)[xX×](\d+)", text.strip())
    if found is None:
        raise UserError(f"--size {text!r} is no size: give height x width, such as --size 64x64")
    return int(found[1]), int(found[2])


def as_patch(text: str | None) -> tuple[int, int] | None:
    """(height, width) of "64" or "64x48"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)(?:[xX×](\d+))?", text.strip())
    if found is None:
        raise UserError(f"--patch {text!r} is no size: give a side or height x width, such as --patch 64")
    return int(found[1]), int(found[2] or found[1])


def as_seconds(text: str | None) -> float | None:
    """Seconds of "90", "60s", "5m" or "1h"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)", text.strip())
    if found is None:
        raise UserError(f"--time-limit {text!r} is no time: give seconds (90), 60s, 5m or 1h")
    return float(found[1]) * UNITS[found[2]]


def as_pairs(texts: list[str] | None) -> dict[str, str]:
    """The names and values of `--set name=value`."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--set {text!r} sets nothing: give --set name=value, such as --set z_size=16")
        pairs[name.strip()] = value
    return pairs


def as_augment(texts: list[str] | None) -> tuple[Any, ...]:
    """The augmentations of `--augment`: names as they are, JSON as the part it stands for."""
    from likely.registry import PARTS, from_json

    parts: list[Any] = []
    for text in texts or []:
        name = text.strip()
        if name.startswith("{"):
            try:
                parts.append(from_json(json.loads(name)))
            except json.JSONDecodeError as error:
                mend = 'such as \'{"type": "Affine", "degrees": 5}\''
                raise UserError(f"--augment {text!r} is no JSON ({error.msg}); give a name, or JSON {mend}") from None
        else:
            parts.append(from_json({"type": name}) if name in PARTS else name)
    return tuple(parts)


def as_names(text: str | None) -> tuple[str, ...]:
    """The names of "isomap,lle"."""
    return tuple(name.strip().lower() for name in (text or "").split(",") if name.strip())


def as_rate(rate: float | None, info: Mapping[str, Any]) -> float:
    """A false-alarm rate: as given, else that of the fit, else the default."""
    from likely.fitted import DEFAULT_FALSE_ALARM_RATE

    stored = info.get("false_alarm_rate")
    rate = rate if rate is not None else stored if isinstance(stored, float) else DEFAULT_FALSE_ALARM_RATE
    if not 0 < rate < 1:
        raise UserError(f"--false-alarm-rate {rate:g} is no share of rows: give one between 0 and 1, such as 0.01")
    return rate


def opened(directory: str, device: str) -> "Fitted":
    """The model in a fitted directory, on its device."""
    from likely.fitted import load
    from likely.training.plan import choose_device

    return load(directory, device=str(choose_device(device)))
