"""`likely restore`: what rows were before noise, gaps or whatever else happened to them."""

import os
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from likely.cli.options import Device, Directory, Overwrite, opened
from likely.cli.screen import clean, progress
from likely.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from likely.cli.targets import Target
    from likely.corruptions import Corruption
    from likely.fitted import Fitted

Damaged = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="What is left: a folder of images of any sizes, one image, or a .csv, .parquet, .npy or .npz file.",
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
        "--out", "-o", help="Folder of PNG, .png of one image, or file of the kind of SOURCE.", show_default=False
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        "--draws",
        metavar="N",
        min=1,
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


def restore(
    directory: Directory,
    source: Damaged,
    output: Output,
    operator: Happened = None,
    draws: Draws = None,
    uncertainty: Uncertainty = None,
    seed: Annotated[int, typer.Option(help="Which draws.")] = 0,
    overwrite: Overwrite = False,
    device: Device = "auto",
) -> None:
    """Write rows as they were before noise, gaps or other harm.

    What the model learned to undo is undone, or what --operator says. Missing are empty cells of a table, NaN in
    arrays, and transparent pixels of images; they are filled in, and all else in their row stays. Images may be of
    any size, and are written under their own names.
    """
    from likely.cli.answering import target_of
    from likely.cli.imputing import draw_restorations, restored_rows
    from likely.contract import Restorer
    from likely.data.folders import is_image_name

    fitted = opened(directory, device)
    model = fitted.capable(Restorer, "restore")
    happened = None if operator is None else _parsed(operator)
    if draws is not None or uncertainty is not None:
        draw_restorations(
            fitted, source, output, happened, n=draws, uncertainty=uncertainty, seed=seed, overwrite=overwrite
        )
        return
    target = target_of(fitted, output, overwrite, source)
    if fitted.schema.kind == "image" and (os.path.isdir(source) or is_image_name(source)):
        n = _restore_images(fitted, source, target, happened)
        what = f"{n:,} restored {'image' if n == 1 else 'images'}"
    else:
        what = f"{_restore_rows(fitted, source, target, happened):,} {restored_rows(model)}"
    print(f"{what} {'is' if what.startswith('1 ') else 'are'} in {clean(output)}")
    undone = happened or model.corruption
    if undone is not None:
        print(f"Undone was {undone}; what was missing was filled in.")


def _parsed(text: str) -> "Corruption":
    from likely.corruptions import Corruption
    from likely.registry import parse_part

    corruption: Corruption = parse_part(text, Corruption, name="--operator")
    return corruption


def _restore_rows(fitted: "Fitted", source: str, target: "Target", operator: "Corruption | None") -> int:
    from likely.cli.outputs import kinds_of, places_of, takes_pictures, write_rows
    from likely.cli.watched import watched
    from likely.reopening import open_like

    target.check(kinds_of(fitted.schema), folder=takes_pictures(fitted.schema))
    rows = open_like(fitted, source)
    with watched(rows, f"restoring {source}") as shown:
        restored = fitted.restore(shown, operator)
    write_rows(target, restored, fitted.schema, places_of(rows).get("place"))
    return len(rows)


def _restore_images(fitted: "Fitted", source: str, target: "Target", operator: "Corruption | None") -> int:
    """One by one, so that they may be of any size and as many as there are; all of them can be read before one is."""
    from likely.cli.outputs import takes_pictures
    from likely.data.folders import list_images
    from likely.files import create, make_directory

    if not takes_pictures(fitted.schema):
        raise DataError(f"{source}: this model learned {fitted.schema.values_text}, no pixels; give an .npy file")
    path = Path(source).expanduser()
    if not path.is_dir():
        target.check((".png",))
        if not path.exists():
            raise DataError(f"there is no file {source}; check the path")
        with progress(f"restoring {source}") as bar:
            bar.update(0, None)
            data = _restored(fitted, path, source, operator)
        target.write(data)
        return 1
    target.check((), folder=True)
    names = list_images(path, source).names
    with progress(f"reading {source}") as bar:
        for i, name in enumerate(names):  # a broken one is found before an hour of restoring the others
            bar.update(i, len(names))
            _pixels(path / name, name)
    with progress(f"restoring {source}") as bar, target.folder() as directory:
        for i, (name, png) in enumerate(zip(names, _png_names(names), strict=True)):
            bar.update(i, len(names))
            make_directory((directory / png).parent)
            create(directory / png, _restored(fitted, path / name, name, operator))
    return len(names)


def _pixels(path: Path, name: str) -> "np.ndarray":
    from likely.data.decoding import decode
    from likely.data.folders import printable
    from likely.data.opening import MAX_PIXELS

    return decode(path, printable(name), None, None, MAX_PIXELS).pixels


def _restored(fitted: "Fitted", path: Path, name: str, operator: "Corruption | None") -> bytes:
    import numpy as np

    from likely.cli.outputs import picture
    from likely.contract import Restorer
    from likely.data.folders import printable
    from likely.data.remains import pixels_to_remains
    from likely.tasks.restoration import channels_left

    channels = channels_left(fitted.capable(Restorer, "restore"), operator)
    left = pixels_to_remains(fitted.schema, _pixels(path, name)[None], channels)
    try:
        restored = np.asarray(fitted.restore(left, operator))[0]
    except DataError as error:
        raise DataError(f"{printable(name)}: {error}") from error
    return picture(restored, fitted.schema)


def _png_names(names: "tuple[str, ...]") -> list[str]:
    """The names with the ending .png; where two would be the same, beside their own ending."""
    wanted = [str(PurePosixPath(name).with_suffix(".png")) for name in names]
    often = Counter(name.casefold() for name in wanted)
    return [png if often[png.casefold()] == 1 else f"{name}.png" for name, png in zip(names, wanted, strict=True)]
