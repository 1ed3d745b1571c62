"""A fitted directory: what a model is, in six files, each with its size and hash in the manifest.

The files beside the manifest's own (`EXTRAS`) tell about the model, and are never read back. A hash proves that
nothing was damaged; it does not prove who wrote it.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from likely.contract import Model
from likely.data import Schema
from likely.errors import ModelFileError, UserError
from likely.files import create, is_temporary, new_directory, standing, write_file
from likely.persistence.info import check_info
from likely.persistence.reading import MEND, Directory, parse_json
from likely.persistence.weights import MAX_HEADER, Blueprint, apart, pack, read_header
from likely.registry import Spec, model_class

FORMAT_VERSION = 3
VERSION = importlib.metadata.version("likely")

MANIFEST = "manifest.json"
CONFIG = "config.json"
SCHEMA = "schema.json"
WEIGHTS = "weights.safetensors"
CALIBRATION = "calibration.json"
ROWS = "rows.safetensors"

MAX_BYTES = {MANIFEST: 2**16, CONFIG: 2**20, SCHEMA: 2**26, CALIBRATION: 2**27, WEIGHTS: 2**36, ROWS: 2**32}
"""The files of a model, and how large each may be."""

MAX_CONTAINERS = {MANIFEST: 100, CONFIG: 10_000, SCHEMA: 400_000, CALIBRATION: 1_000}
"""How many lists and objects each may have, counted before any is made; a schema has some for each column."""

LACKING = {1: {ROWS}}
"""The files that older formats do not have."""

MAX_REPLACEMENTS = 100
"""So often may a directory be replaced while it is loaded."""

EXTRAS = ("metrics.json", "history.csv", "README.md", "report.html")
"""The files that may stand beside them."""


@dataclass(frozen=True)
class Loaded:
    """What a fitted directory holds. `spec` has every argument of the model; `info` is what `save` was given."""

    model: Model
    spec: Spec
    schema: Schema
    calibration: dict[str, Any]
    info: dict[str, Any]
    rows: dict[str, Tensor]


def save(
    path: str | os.PathLike[str],
    *,
    model: Model,
    spec: Spec,
    schema: Schema,
    calibration: Mapping[str, Any],
    info: Mapping[str, Any],
    rows: Mapping[str, Tensor] | None = None,
    extras: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a fitted directory, whole or not at all.

    Args:
        path: the directory to make.
        model: the fitted model, of the class that `spec` names.
        spec: names the model; the arguments that are saved are the model's own.
        schema: of the data it was fitted on.
        calibration: anything that JSON can say.
        info: anything that JSON can say, kept beside the spec.
        rows: tensors by name: what is kept of the rows that the model learned from or was calibrated by.
        extras: files that tell about the model, by their names in `EXTRAS`.
        overwrite: whether a fitted directory at `path` is replaced.

    Raises:
        UserError: if an argument of the model cannot stand in a file (a bare module), if something that is no
            fitted directory stands at `path`, or if the system refuses. What was at `path` then stays.
    """
    whole = Spec(spec.resolve().name, **{key: v for key, v in model.config().items() if key != "x_shape"})
    files = {
        CONFIG: _json({"spec": whole.to_json(), "info": info}),
        SCHEMA: _json(schema.to_json()),
        CALIBRATION: _json(calibration),
        WEIGHTS: pack(model),
        ROWS: safetensors.torch.save(apart(rows or {})),
    }
    _check_readable(model, schema, files)
    for name in extras or {}:
        _check_extra(name)
    if overwrite:
        check_ours(Path(path))
    with new_directory(path, overwrite=overwrite) as directory:
        for name, data in {**files, MANIFEST: _manifest(files), **(extras or {})}.items():
            create(directory / name, data)


def load(path: str | os.PathLike[str]) -> Loaded:
    """Reads a fitted directory, trusting nothing in it: no code is run, whoever wrote it.

    Everything is looked at before it is opened, hashed before it is parsed, parsed against the registry, and
    compared with what the model must be before any tensor is allocated. Where another process replaces the directory
    meanwhile, it is the old model or the new one, whole.

    Raises:
        ModelFileError: in one line, naming the file: damaged, incomplete, foreign, or newer than this library.
    """
    for _ in range(MAX_REPLACEMENTS):
        with contextlib.suppress(Replaced):
            return _load_standing(Path(path))
    raise ModelFileError(f"{path} is replaced all the time: load it when that has come to an end")


def _load_standing(path: Path) -> Loaded:
    """Raises Replaced where something went wrong, and another directory has come to the place of the one opened."""
    with open_standing(path) as directory:
        try:
            return _load(directory)
        except ModelFileError:
            if directory.is_replaced(standing(path)):
                raise Replaced from None
            raise


def _load(directory: Directory) -> Loaded:
    entries = _read_manifest(directory)
    for name in entries:
        directory.check(name, MAX_BYTES[name])
    spec, info = _read_config(directory, entries)
    schema_fields = _read_object(directory, entries, SCHEMA)
    with _blaming(directory.path / SCHEMA):
        schema = Schema.from_json(schema_fields)
    calibration = _read_object(directory, entries, CALIBRATION)
    with _blaming(directory.path / CONFIG):
        blueprint = Blueprint(spec, schema.x_shape)
    weights = _read(directory, entries, WEIGHTS, blueprint.n_bytes * 2 + MAX_HEADER)
    with _blaming(directory.path / WEIGHTS):
        model = blueprint.filled(weights)
    return Loaded(model, spec, schema, calibration, info, _read_rows(directory, entries))


class Replaced(Exception):
    """Another directory has come to the place of the one that was read."""


def open_standing(path: Path) -> Directory:
    """The directory that stands at a path. Raises Replaced if it was moved away before it was opened."""
    try:
        return Directory(standing(path))
    except ModelFileError as error:
        if isinstance(error.__cause__, FileNotFoundError) and os.path.lexists(standing(path)):
            raise Replaced from None
        raise


def read_extra(path: str | os.PathLike[str], name: str, max_bytes: int) -> bytes:
    """Reads one of `EXTRAS`, as strictly as the files of the model: no link, pipe or device, nothing too large.

    Raises:
        ModelFileError: if it is missing, or no plain file of at most so many bytes.
    """
    _check_extra(name)
    with Directory(standing(path)) as directory:
        return directory.read(name, max_bytes)


def add_extra(path: str | os.PathLike[str], name: str, data: bytes) -> None:
    """Writes one of `EXTRAS` into a fitted directory, whole or not at all.

    Raises:
        ModelFileError: if `path` is no fitted directory.
        UserError: if the system refuses.
    """
    _check_extra(name)
    with Directory(standing(path)) as directory:
        directory.check(MANIFEST, MAX_BYTES[MANIFEST])
    write_file(standing(path) / name, data)


def _json(value: Any) -> bytes:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    # A file's name may hold half of a surrogate pair. It becomes \\udc80, which JSON reads back.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _manifest(files: Mapping[str, bytes]) -> bytes:
    return _sealed({name: _entry(files[name]) for name in MAX_BYTES if name != MANIFEST}, VERSION)


def _entry(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _sealed(entries: Any, library_version: Any, format_version: int = FORMAT_VERSION) -> bytes:
    content = {"format_version": format_version, "library_version": library_version, "files": entries}
    return _json({**content, "sha256": hashlib.sha256(_json(content)).hexdigest()})


def _read_manifest(directory: Directory) -> dict[str, Any]:
    where = directory.path / MANIFEST
    data = directory.read(MANIFEST, MAX_BYTES[MANIFEST])
    with _blaming(where):
        content = parse_json(data, max_containers=MAX_CONTAINERS[MANIFEST])
    _check_version(where, content)
    with _blaming(where):
        match content:
            case {"format_version": int(version), "library_version": library, "files": dict(entries)} if (
                type(version) is int and version > 0 and data == _sealed(entries, library, version)
            ):
                if entries.keys() == MAX_BYTES.keys() - {MANIFEST} - LACKING.get(version, set()):
                    return entries
        raise ModelFileError("it is damaged: its own hash does not fit it")


def _check_version(where: Path, content: Any) -> None:
    match content:
        case {"format_version": int(version), "library_version": library} if version > FORMAT_VERSION:
            raise ModelFileError(
                f"{where} is of format {version}, written by likely {reprlib.repr(library)}; this is likely "
                f"{VERSION}, which reads format {FORMAT_VERSION}: upgrade it, pip install -U likely"
            )


def _read(directory: Directory, entries: Mapping[str, Any], name: str, max_bytes: int) -> bytes:
    data = directory.read(name, max_bytes)
    with _blaming(directory.path / name):
        if _entry(data) != entries[name]:
            raise ModelFileError("it is damaged: its size or hash is not that of the manifest")
    return data


def _read_object(directory: Directory, entries: Mapping[str, Any], name: str) -> dict[str, Any]:
    data = _read(directory, entries, name, MAX_BYTES[name])
    with _blaming(directory.path / name):
        value = parse_json(data, max_containers=MAX_CONTAINERS[name])
        if not isinstance(value, dict):
            raise ModelFileError("it should hold one JSON object")
    return value


def _read_rows(directory: Directory, entries: Mapping[str, Any]) -> dict[str, Tensor]:
    if ROWS not in entries:
        return {}
    data = _read(directory, entries, ROWS, MAX_BYTES[ROWS])
    with _blaming(directory.path / ROWS):
        read_header(data, MAX_HEADER)
        try:
            return dict(safetensors.torch.load(data))
        except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"it is damaged: {error}") from error


def _read_config(directory: Directory, entries: Mapping[str, Any]) -> tuple[Spec, dict[str, Any]]:
    config = _read_object(directory, entries, CONFIG)
    with _blaming(directory.path / CONFIG):
        match config:
            case {"spec": spec, "info": dict(info), **rest} if not rest:
                check_info(info)
                return Spec.from_json(spec), info
        raise ModelFileError("it should hold a spec and an info, and nothing else")


@contextlib.contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Names the file, and what mends it, in what is raised inside."""
    try:
        yield
    except UserError as error:
        raise ModelFileError(f"{file}: {error}; {MEND}") from error


def _check_readable(model: Model, schema: Schema, files: Mapping[str, bytes]) -> None:
    """Refuses to save what could not be loaded again."""
    config, _, _ = (
        parse_json(files[name], max_containers=MAX_CONTAINERS[name]) for name in (CONFIG, SCHEMA, CALIBRATION)
    )
    spec = Spec.from_json(config["spec"])
    if type(model) is not model_class(spec.name) or model.x_shape != schema.x_shape:
        raise UserError(f"{spec.name} of {schema.x_shape} is not the model to save, a {type(model).__name__}")
    Blueprint(spec, schema.x_shape).check(files[WEIGHTS])
    for name, data in files.items():
        if len(data) > MAX_BYTES[name]:
            raise UserError(f"{name} would have {len(data):,} bytes; at most {MAX_BYTES[name]:,} can be loaded")


def _check_extra(name: str) -> None:
    if name not in EXTRAS:
        raise ValueError(f"{name!r} is none of the files beside a model: {', '.join(EXTRAS)}")


def check_ours(path: Path) -> None:
    """Refuses to replace, and so to delete, a directory with anything in it that `save` did not write."""
    try:
        found = {name for name in os.listdir(path) if not is_temporary(name)} if path.is_dir() else set()
    except FileNotFoundError:  # somebody else is replacing it right now
        found = set()
    foreign = sorted(found - {*MAX_BYTES, *EXTRAS})
    if found and (foreign or MANIFEST not in found):
        what = f"holds {foreign[0]!r}, which is no part of a model" if foreign else "is no fitted directory"
        raise UserError(f"{path} {what}, and is not replaced: choose another place")
