"""`likely restore`: what rows were before noise, gaps or whatever else happened to them."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likely import arguments
from likely.cli.options import Device, Directory, Opening, Overwrite, Strict, opened, opens_data
from likely.cli.screen import clean
from likely.errors import UserError

if TYPE_CHECKING:
    from likely.cli.targets import Target
    from likely.corruptions import Corruption
    from likely.fitted import Fitted

Damaged = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="What is left: a folder of images of any sizes, one image, a table (.csv, .tsv, .jsonl, .xlsx, .parquet), "
        "an .npy or .npz file.",
        show_default=False,
    ),
]
Happened = Annotated[
    str | None,
    typer.Option(
        "--operator",
        metavar="NAME",
        help='What happened, where it is not what the model learned: Erasing, "Downsampling(factor=2)", Grayscale, ...',
        show_default=False,
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        help="Folder of PNG; of one image .png, .jpg, .webp, .tif or .bmp; else a file of the kind of SOURCE.",
        show_default=False,
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        "--draws",
        metavar="N",
        help="Write N whole versions instead of the best guess, as multiple imputation takes them: a table of all, "
        "its columns draw and row first, an array (N, rows, ...), or a folder of images with index.csv.",
        show_default=False,
    ),
]
Uncertainty = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Where to write how uncertain each value is: its standard deviation over draws, 0 of what is there.",
        show_default=False,
    ),
]


@opens_data
def restore(
    directory: Directory,
    source: Damaged,
    output: Output,
    operator: Happened = None,
    draws: Draws = None,
    uncertainty: Uncertainty = None,
    seed: Annotated[int, typer.Option(help="Which draws.")] = 0,
    overwrite: Overwrite = False,
    strict: Strict = False,
    device: Device = "auto",
    opening: Opening = Opening(),
) -> None:
    """Write rows as they were before noise, gaps or other harm.

    What the model learned to undo is undone, or what --operator says. Missing are empty cells of a table, NaN in
    arrays, and transparent pixels of images; they are filled in, and all else in their row stays. Images may be of
    any size, and are written under their own names, a folder as PNG, with the depth, color profile and resolution
    that they had; what is partly transparent stays so.
    """
    from likely.cli.answering import target_of
    from likely.cli.imputing import draw_restorations, restored_rows
    from likely.cli.photographs import restore_images
    from likely.contract import Restorer
    from likely.data.folders import is_image_name

    draws = None if draws is None else arguments.whole("--draws", draws, 1)
    fitted = opened(directory, device)
    model = fitted.capable(Restorer, "restore")
    happened = None if operator is None else _parsed(operator)
    if draws is not None or uncertainty is not None:
        asked: dict[str, Any] = {
            "n": draws,
            "uncertainty": uncertainty,
            "seed": seed,
            "overwrite": overwrite,
            "opening": opening,
            "strict": strict,
        }
        draw_restorations(fitted, source, output, happened, **asked)
        return
    target = target_of(fitted, output, overwrite, source)
    if fitted.schema.kind == "image" and (os.path.isdir(source) or is_image_name(source)):
        if opening != Opening():
            told = "images are restored as they are, of any size"
            raise UserError(f"{told}: leave --label, --drop, --size, --channels and --missing out")
        n = restore_images(fitted, source, target, happened)
        what = f"{n:,} restored {'image' if n == 1 else 'images'}"
    else:
        what = f"{_restore_rows(fitted, source, target, happened, opening, strict):,} {restored_rows(model)}"
    print(f"{what} {'is' if what.startswith('1 ') else 'are'} in {clean(output)}")
    undone = happened or model.corruption
    if undone is not None:
        print(f"Undone was {undone}; what was missing was filled in.")


def _parsed(text: str) -> "Corruption":
    from likely.corruptions import Corruption
    from likely.registry import parse_part

    corruption: Corruption = parse_part(text, Corruption, name="--operator")
    return corruption


def _restore_rows(
    fitted: "Fitted", source: str, target: "Target", operator: "Corruption | None", opening: Opening, strict: bool
) -> int:
    from likely.cli.outputs import kinds_of, labels_of, places_of, takes_pictures, write_rows
    from likely.cli.watched import watched
    from likely.reopening import open_like

    target.check(kinds_of(fitted.schema), folder=takes_pictures(fitted.schema))
    rows = open_like(fitted, source, **opening.options())
    with watched(rows, f"restoring {source}") as shown:
        restored = fitted.restore(shown, operator, strict=strict)
    write_rows(target, restored, fitted.schema, places_of(rows).get("place"), labels_of(rows, target), rows.given)
    return len(rows)
