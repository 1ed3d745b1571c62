"""Thousands of damaged and hostile files, each opened as a user does: nothing but an answer or our own error may come.

    python -m benchmarks.mutated_files --directories 20000 --files 8000 --seed 0

A fitted directory that was changed is loaded and asked to score a few rows; a data file is opened, its schema learned
and its rows read. Each case is a function of the seed and its number alone, so a run goes on with `--start`, and
`--only directory:17` looks at one case again, with its traceback. Progress goes to stderr, one JSON line to stdout.
"""

import argparse
import collections
import gzip
import hashlib
import io
import json
import multiprocessing
import multiprocessing.connection
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MAX_SECONDS, MAX_MEGABYTES = 1.0, 300
"""Of the processor, and of memory beyond what a worker had: cases with more are counted."""
ALARM = 20
"""Seconds after which a case is given up."""

FORMERLY = ("config.json", "schema.json", "calibration.json", "weights.safetensors", "rows.safetensors")
VALUES = (
    -1,
    0,
    1,
    3,
    2**31,
    2**63,
    10**9,
    10**30,
    1e308,
    -1e308,
    0.5,
    "NaN",
    "1",
    "",
    None,
    True,
    [],
    {},
    [[]],
    "\ud800",
)
LETTERS = b'0123456789"[]{},:-.eE \\tfn\x00\x80\xff\n\r;|\t'

Generator = np.random.Generator
Mutation = Callable[[bytes, Generator], bytes]


# What is changed: little fitted directories, and little files of each kind.


def make_directories(folder: Path) -> list[Path]:
    """Four models of four kinds of data."""
    import likely
    from likely import Spec
    from likely.networks import MLP

    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(150, 4)).astype(np.float32)
    images = generator.integers(0, 2, (120, 4, 4)).astype(np.uint8)
    (folder / "table.csv").write_bytes(table_text())
    specs = {
        "ppca": (Spec("ppca", z_size=2), numbers),
        "vae": (Spec("vae", z_size=2, network=MLP((4,))), str(folder / "table.csv")),
        "made": (Spec("made", hidden=(8,)), images),
        "gated": (Spec("gated_pixel_cnn", channels=6, layers=1), images),
    }
    for name, (spec, data) in specs.items():
        fitted = likely.fit(spec, data, train=likely.TrainConfig(epochs=1, seed=0))
        fitted.save(folder / name, extras={"history.csv": fitted.history.to_csv().encode(), "metrics.json": b"{}\n"})
    return [folder / name for name in specs]


def table_text() -> bytes:
    """150 rows: numbers with gaps, categories, labels."""
    generator = np.random.default_rng(1)
    lines = ["x,y,name,when,label"]
    for i in range(150):
        x, y = generator.normal(size=2)
        lines.append(
            f"{x:.3f},{'' if i % 9 == 0 else f'{y:.2f}'},{'abc'[i % 3]}e,2024-01-{i % 28 + 1:02d},{'uv'[i % 2]}"
        )
    return ("\n".join(lines) + "\n").encode()


def make_files() -> dict[str, bytes]:
    """A whole file of each kind, by its ending."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.feather
    import pyarrow.parquet
    from PIL import Image

    generator = np.random.default_rng(2)
    array = generator.normal(size=(60, 5))
    files = {"csv": table_text(), "tsv": table_text().replace(b",", b"\t")}
    files["npy"] = written(lambda out: np.save(out, array))
    files["npz"] = written(lambda out: np.savez_compressed(out, X=array, y=np.arange(60) % 3))
    table = pa.csv.read_csv(io.BytesIO(table_text()))
    files["parquet"] = written(lambda out: pa.parquet.write_table(table, out))
    files["feather"] = written(lambda out: pa.feather.write_feather(table, out))
    files["csv.gz"] = gzip.compress(table_text())
    files["xlsx"] = workbook()
    files["jsonl"] = "".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()).encode()
    pixels = Image.fromarray(generator.integers(0, 256, (24, 20, 3)).astype(np.uint8))
    for kind in ("png", "jpg", "webp", "bmp", "tif", "gif"):
        files[kind] = written(lambda out, kind=kind: pixels.save(out, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind)))
    return files


def workbook() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for line in table_text().decode().splitlines():
        book.active.append(line.split(","))
    return written(book.save)


def written(write: Callable[[io.BytesIO], Any]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


# How it is changed.


def flip(data: bytes, generator: Generator) -> bytes:
    """Bits, anywhere or near the beginning, where heads are."""
    changed = bytearray(data)
    near = len(data) if generator.random() < 0.5 else min(len(data), 300)
    for place in generator.integers(0, max(near, 1), generator.integers(1, 5)):
        if data:
            changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def retype(data: bytes, generator: Generator) -> bytes:
    """Letters that mean something to parsers."""
    changed = bytearray(data)
    for place in generator.integers(0, max(min(len(data), 2000), 1), generator.integers(1, 6)):
        if data:
            changed[place] = LETTERS[generator.integers(len(LETTERS))]
    return bytes(changed)


def cut(data: bytes, generator: Generator) -> bytes:
    return data[: generator.integers(0, len(data) + 1)]


def repeat(data: bytes, generator: Generator) -> bytes:
    """A piece many times over, or left out."""
    start, stop = sorted(generator.integers(0, len(data) + 1, 2).tolist())
    piece = data[start : min(stop, start + 4000)]
    return data[:start] + piece * int(generator.choice([0, 2, 50])) + data[stop:]


def stuff(data: bytes, generator: Generator) -> bytes:
    """Something foreign in between."""
    place = int(generator.integers(0, len(data) + 1))
    pieces = (
        b"[" * 5000,
        b"-" * 5000,
        b"\x00" * 64,
        b'"',
        b"9" * 400,
        b"\xff\xfe",
        b"\r",
        b"PK\x03\x04",
        b"x" * 140_000,
    )
    return data[:place] + pieces[generator.integers(len(pieces))] + data[place:]


BYTES: tuple[Mutation, ...] = (flip, retype, cut, repeat, stuff)


def edited(value: Any, generator: Generator) -> Any:
    """JSON with one of its values replaced, removed, added or wrapped."""
    parents = [value, *containers(value)]
    parent = parents[generator.integers(len(parents))]
    keys = list(parent) if isinstance(parent, dict) else list(range(len(parent))) if isinstance(parent, list) else []
    if not keys:
        return VALUES[generator.integers(len(VALUES))]
    key = keys[generator.integers(len(keys))]
    match generator.integers(6):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[f"more{generator.integers(3)}"] = VALUES[generator.integers(len(VALUES))]
        case 1 | 2:
            for _ in range(int(generator.choice([1, 20, 200]))):
                parent[key] = [parent[key]]
        case _:
            parent[key] = VALUES[generator.integers(len(VALUES))]
    return value


def containers(value: Any) -> Iterator[Any]:
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(item, dict | list):
            yield item
            yield from containers(item)


def edit_json(data: bytes, generator: Generator) -> bytes:
    value = edited(json.loads(data), generator)
    text = json.dumps(value, indent=1, ensure_ascii=False)
    if generator.random() < 0.1 and text.startswith("{"):  # the same key twice
        text = '{"spec": 1, "kind": 2,' + text[1:]
    return text.encode("utf-8", "backslashreplace") + b"\n"


def edit_header(data: bytes, generator: Generator) -> bytes:
    """Of safetensors."""
    n = struct.unpack("<Q", data[:8])[0]
    text = json.dumps(edited(json.loads(data[8 : 8 + n]), generator)).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + n :]


def change_directory(path: Path, generator: Generator) -> None:
    """Changes one file of a fitted directory, most often as a forger would: with a manifest that fits."""
    names = [name for name in (*FORMERLY, "manifest.json", "history.csv") if (path / name).exists()]
    file = path / names[generator.integers(len(names))]
    match generator.integers(10):
        case 0:
            other = path / names[generator.integers(len(names))]
            one, two = file.read_bytes(), other.read_bytes()
            file.write_bytes(two)
            other.write_bytes(one)
        case 1:
            replace_by_no_file(file, generator)
        case 2 | 3 | 4:
            file.write_bytes(BYTES[generator.integers(len(BYTES))](file.read_bytes(), generator))
        case _:
            edit = edit_json if file.suffix == ".json" else edit_header if file.suffix == ".safetensors" else retype
            file.write_bytes(edit(file.read_bytes(), generator))
    if file.name != "manifest.json" and generator.random() < 0.9:
        seal(path)


def replace_by_no_file(file: Path, generator: Generator) -> None:
    file.unlink()
    match generator.integers(5):
        case 0:
            os.mkfifo(file)
        case 1:
            file.symlink_to("/dev/zero")
        case 2:
            file.mkdir()
        case 3:
            file.symlink_to(file.name)


def seal(path: Path) -> None:
    """Writes the manifest that fits the files, as the format says and not as the library does it."""
    try:
        old = json.loads((path / "manifest.json").read_bytes())
        files = {name: (path / name).read_bytes() for name in old["files"] if os.path.isfile(path / name)}
    except (OSError, ValueError, KeyError, TypeError):
        return
    entries = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    content = {key: old[key] for key in ("format_version", "library_version")} | {"files": entries}

    def text(value: Any) -> bytes:
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()

    content["sha256"] = hashlib.sha256(text(content)).hexdigest()
    (path / "manifest.json").write_bytes(text(content))


def change_file(kind: str, data: bytes, generator: Generator) -> bytes:
    if kind in ("npz", "xlsx") and generator.random() < 0.4:
        return changed_member(data, generator)
    for _ in range(int(generator.integers(1, 3))):
        data = BYTES[generator.integers(len(BYTES))](data, generator)
    return data


def changed_member(data: bytes, generator: Generator) -> bytes:
    """An archive that is whole, and what is in it is not."""
    out = io.BytesIO()
    packing = int(generator.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", packing) as new:
        for member in old.infolist():
            content = old.read(member)
            if generator.random() < 0.6:
                content = BYTES[generator.integers(len(BYTES))](content, generator)
            new.writestr(str(generator.choice([member.filename, "../x.npy", "readme.txt", "/etc/X.npy"])), content)
    return out.getvalue()


# What a user does with it.


class Bench:
    """Cases by number: where they are made, and how each is opened."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.files = make_files()
        names = ("ppca", "vae", "made", "gated")
        there = all((folder / name).is_dir() for name in names)
        self.models = [folder / name for name in names] if there else make_directories(folder)

    def open(self, kind: str, number: int) -> None:
        """Makes a case and opens it; whatever that raises comes out."""
        generator = np.random.default_rng([self.seed, number, kind == "file"])
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            if kind == "directory":
                self._open_directory(Path(place) / "m", generator)
            else:
                self._open_file(Path(place), generator)

    def _open_directory(self, path: Path, generator: Generator) -> None:
        import likely
        from likely.cli.judging import read_history

        shutil.copytree(self.models[generator.integers(len(self.models))], path)
        change_directory(path, generator)
        read_history(str(path))
        fitted = likely.load(path)
        fitted.score(fitted.sample(3, seed=0))

    def _open_file(self, place: Path, generator: Generator) -> None:
        from likely.data import describe, infer_schema, open_source

        kinds = list(self.files)
        kind = kinds[generator.integers(len(kinds))]
        path = place / f"x.{kind}"
        path.write_bytes(change_file(kind, self.files[kind], generator))
        source = open_source(path)
        describe(source, infer_schema(source))
        source.read(np.arange(min(3, len(source))))
        source.digest()


def judged(bench: Bench, kind: str, number: int) -> tuple[str, str]:
    """How a case ended: fine, ours, other, slow or large; and what there is to say of it."""
    from likely.errors import UserError

    memory, start = peak_megabytes(), time.process_time()
    signal.alarm(ALARM)
    try:
        bench.open(kind, number)
        end, told = "fine", ""
    except UserError as error:
        end, told = "ours", str(error)
        if len(told) > 4000 or not told:
            end = "other"
    except BaseException as error:  # what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        end, told = "other", f"{type(error).__name__}: {str(error)[:200]} ({where.filename[-40:]}:{where.lineno})"
    finally:
        signal.alarm(0)
    seconds, more = time.process_time() - start, peak_megabytes() - memory
    if end in ("fine", "ours") and seconds > MAX_SECONDS:
        return "slow", f"{seconds:.1f} s: {told[:200]}"
    if end in ("fine", "ours") and more > MAX_MEGABYTES:
        return "large", f"{more:.0f} MB: {told[:200]}"
    return end, told


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(connection: Any, seed: int, folder: Path, cases: list[tuple[str, int]]) -> None:
    """In a process of its own: judges the cases, one after the other, and says so of each."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    bench = Bench(seed, folder)
    for kind in ("directory", "file"):  # what is imported once is no case's fault
        for number in range(-20, 0) if kind == "file" else range(-8, 0):
            judged(bench, kind, abs(number))
    for kind, number in cases:
        connection.send((kind, number, *judged(bench, kind, number)))
    connection.close()


def give_up(*_: Any) -> None:
    raise TimeoutError(f"not done after {ALARM} seconds")


def results(
    seed: int, folder: Path, cases: list[tuple[str, int]], n_workers: int
) -> Iterator[tuple[str, int, str, str]]:
    """Of all cases, as they come; a worker that dies takes the case that it was at with it, and no other."""
    context = multiprocessing.get_context("spawn")
    shares = [cases[i::n_workers] for i in range(n_workers)]
    running: dict[Any, list[tuple[str, int]]] = {}

    def begin(share: list[tuple[str, int]]) -> None:
        if share:
            ours, theirs = context.Pipe(duplex=False)
            context.Process(target=work, args=(theirs, seed, folder, share), daemon=True).start()
            theirs.close()
            running[ours] = share

    for share in shares:
        begin(share)
    while running:
        for connection in multiprocessing.connection.wait(list(running)):
            try:
                found = connection.recv()  # type: ignore[union-attr]
                running[connection].pop(0)
                yield found
            except EOFError:
                left = running.pop(connection)
                if left:
                    yield (*left[0], "other", "the process died")
                    begin(left[1:])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--directories", type=int, default=200)
    arguments.add_argument("--files", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--start", type=int, default=0, help="the number of the first case of each kind")
    arguments.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    arguments.add_argument("--only", help="one case, such as directory:17")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(given.seed, folder)
        if given.only:
            kind, _, number = given.only.partition(":")
            bench.open(kind, int(number))
            return 0
        cases = [("directory", given.start + i) for i in range(given.directories)]
        cases += [("file", given.start + i) for i in range(given.files)]
        ends: collections.Counter[str] = collections.Counter()
        wrong: list[str] = []
        for kind, number, end, told in results(given.seed, folder, cases, given.workers):
            ends[end] += 1
            if end not in ("fine", "ours"):
                wrong.append(f"{kind}:{number} {end}: {told}")
                print(wrong[-1], file=sys.stderr, flush=True)
            if sum(ends.values()) % 500 == 0:
                print(f"{sum(ends.values()):,} of {len(cases):,}: {dict(ends)}", file=sys.stderr, flush=True)
    counts = {end: ends[end] for end in ("fine", "ours", "other", "slow", "large")}
    print(json.dumps({"seed": given.seed, "start": given.start, "cases": len(cases), **counts, "examples": wrong[:20]}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
