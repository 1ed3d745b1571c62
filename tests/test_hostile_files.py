"""Fitted directories made by somebody who means harm: refused in one line, in time, and nothing of theirs is run.

Most cases are sealed again after they are changed, as a forger would: hashes prove integrity, not honesty.
"""

import dataclasses
import hashlib
import json
import os
import pickle
import resource
import socket
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from likely.cli.judging import read_history
from likely.contract import Model
from likely.data import infer_schema, open_source
from likely.errors import DataError, ModelFileError
from likely.networks import MLP, Network
from likely.persistence import load, save
from likely.registry import MODELS, PARTS, Spec, part_class
from likely.reopening import reopen

SCHEMA = infer_schema(open_source(np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)))
MODEL_FILES = ("config.json", "schema.json", "calibration.json", "weights.safetensors", "rows.safetensors")
N_ALLOWED_KIB = 100_000
N_ALLOWED_SECONDS = 3  # of the processor; all but two cases take less than a hundredth of that

# What is called while a file is read; hooks cannot be taken away again, so this one sleeps between the tests.

CALLS: list[str] | None = None
FORBIDDEN = ("import", "exec", "os.", "subprocess.", "socket.", "pickle.", "marshal.", "ctypes.", "shutil.", "open")
ALLOWED = ("os.listdir", "os.scandir")


def listen(event, args):
    if CALLS is None or not event.startswith(FORBIDDEN) or event in ALLOWED:
        return
    if event == "open":
        # Files of the directory are opened by bare names of a closed list, relative to it.
        path, flags = os.fspath(args[0]) if not isinstance(args[0], int) else "", args[2]
        if path in ("", "manifest.json", *MODEL_FILES) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if flags & os.O_DIRECTORY:  # of a file it fails, and touches nothing
            return
    CALLS.append(f"{event} {args}")


sys.addaudithook(listen)


@dataclasses.dataclass(frozen=True)
class Deep(Network):
    """A part that somebody made known, and that believes what it is told."""

    n_layers: int = 1

    def build(self, x_shape, **sizes):
        for _ in range(self.n_layers):
            MLP((4,)).build(x_shape, **sizes)
        return MLP((4,)).build(x_shape, **sizes)


@dataclasses.dataclass(frozen=True)
class Scratchy(Network):
    """A part whose scratch memory no file limits."""

    n: int = 1

    def build(self, x_shape, **sizes):
        codec = MLP((4,)).build(x_shape, **sizes)
        codec.register_buffer("scratch", torch.zeros(self.n), persistent=False)
        return codec


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(PARTS, "Deep", Deep)
    monkeypatch.setitem(PARTS, "Scratchy", Scratchy)


@pytest.fixture
def model(tmp_path):
    spec = Spec("autoencoder", z_size=2, network=MLP((4,)))
    path = tmp_path / "model"
    save(path, model=spec.build((4,)), spec=spec, schema=SCHEMA, calibration={}, info={"note": ""})
    (tmp_path / "canary.json").write_text("{}")
    load(path)
    for part in PARTS:  # refusals name parts, which are imported then: code of ours, and no file of theirs
        part_class(part)
    return path


def seal(path: Path, **changes) -> None:
    """Writes the manifest that fits the files, as the format says and not as the library does it."""
    files = {}
    for name in MODEL_FILES:
        data = (path / name).read_bytes()
        files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    content = {"format_version": 3, "library_version": "0.1.0", "files": files} | changes

    def text(value):
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()

    content["sha256"] = hashlib.sha256(text(content)).hexdigest()
    (path / "manifest.json").write_bytes(text(content))


def refused(path: Path) -> str:
    """Loads it and has it refused; returns what is said."""
    global CALLS
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    CALLS, calls = [], []
    try:
        with pytest.raises(ModelFileError) as caught:
            load(path)
    finally:
        calls, CALLS = CALLS, None
    assert not calls
    assert time.process_time() - start < N_ALLOWED_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < N_ALLOWED_KIB
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert str(path) in message
    return message


def test_a_forger_can_seal_what_is_true(model):
    """Else every sealed case below would be refused for its seal alone."""
    (model / "calibration.json").write_text('{"a": 1}')
    assert "hash" in refused(model)
    seal(model)
    assert load(model).calibration == {"a": 1}


def test_the_listener_hears(tmp_path):
    global CALLS
    CALLS, calls = [], []
    try:
        (tmp_path / "written").write_bytes(b"")
        os.system("true")
        pickle.loads(pickle.dumps(os.getcwd))
    finally:
        calls, CALLS = CALLS, None
    assert [call.split()[0] for call in calls] == ["open", "os.system", "pickle.find_class"]


# Links, pipes and other places.


@pytest.mark.parametrize("name", ["manifest.json", *MODEL_FILES])
def test_files_that_are_not_plain(model, tmp_path, name):
    file, elsewhere = model / name, tmp_path / "elsewhere"
    assert f"{file} is missing" in missing(file)
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert f"{file} is a link" in refused(model)
    file.unlink()
    file.symlink_to("/dev/zero")
    assert f"{file} is a link" in refused(model)
    file.unlink()
    os.link(elsewhere, file)
    assert f"{file} is a hard link" in refused(model)
    file.unlink()
    os.mkfifo(file)
    assert "not a regular file" in refused(model)
    file.unlink()
    file.mkdir()
    assert "not a regular file" in refused(model)
    file.rmdir()
    os.symlink(name, file)
    assert f"{file} is a link" in refused(model)
    file.unlink()
    elsewhere.rename(file)
    load(model)


def missing(file: Path) -> str:
    aside = file.with_name("aside")
    file.rename(aside)
    try:
        return refused(file.parent)
    finally:
        aside.rename(file)


def test_a_socket(model):
    (model / "config.json").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(model / "config.json"))
        assert "not a regular file" in refused(model)


def test_the_directory_itself_is_a_link(model, tmp_path):
    (tmp_path / "other").symlink_to(model)
    for name in ("other", "other/", "other/."):
        with pytest.raises(ModelFileError, match=r"is a link: give the fitted directory itself, '.*model'"):
            load(f"{tmp_path}/{name}")


@pytest.mark.parametrize("trap", ["link", "pipe", "hard link"])
def test_a_file_that_changes_between_the_look_and_the_opening(model, tmp_path, monkeypatch, trap):
    file, elsewhere, seen = model / "config.json", tmp_path / "elsewhere", os.stat
    plain = os.lstat(file)
    file.rename(elsewhere)
    {"link": lambda: file.symlink_to(elsewhere), "pipe": lambda: os.mkfifo(file)}.get(
        trap, lambda: os.link(elsewhere, file)
    )()
    monkeypatch.setattr(os, "stat", lambda p, **options: plain if p == "config.json" else seen(p, **options))
    assert "config.json" in refused(model)


@pytest.mark.parametrize("name", ["manifest.json", *MODEL_FILES])
def test_a_file_of_a_terabyte(model, name):
    with open(model / name, "r+b") as file:
        file.truncate(2**40)
    assert f"{2**40:,} bytes" in refused(model)


def test_weights_larger_than_the_model_can_have(model):
    with open(model / "weights.safetensors", "r+b") as file:
        file.truncate(2**30)
    assert "at most" in refused(model)


# Pickles.


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


@pytest.mark.parametrize("name", ["manifest.json", *MODEL_FILES])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_under_one_of_our_names(model, name, protocol, monkeypatch):
    monkeypatch.chdir(model)
    (model / name).write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    if name != "manifest.json":
        seal(model)
    message = refused(model)
    assert name in message
    assert ("is a pickle" in message) == (protocol > 0 and name.endswith(".json"))
    assert not (model / "exploded").exists()


def test_a_torch_file_under_one_of_our_names(model):
    torch.save({"a": Bomb()}, model / "weights.safetensors")
    seal(model)
    refused(model)
    torch.save({"a": Bomb()}, model / "config.json")
    seal(model)
    assert "is a pickle, which could run code and is never opened" in refused(model)


def test_pickles_of_others_are_named_and_not_opened(model, tmp_path):
    for name in ("weights.pkl", "model.pt"):
        (model / "weights.safetensors").rename(model / name)
        assert f"weights.safetensors is missing; '{name}' is a pickle" in refused(model)
        (model / name).rename(model / "weights.safetensors")
    (tmp_path / "net.pt").write_bytes(pickle.dumps(Bomb()))
    assert "is a pickle, which could run code" in refused(tmp_path / "net.pt")
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "decoder.pkl").write_bytes(pickle.dumps(Bomb()))
    assert "'decoder.pkl' is a pickle" in refused(tmp_path / "downloads")


# The manifest.


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 0},
        {"format_version": -1},
        {"format_version": 1},
        {"format_version": 2.0},
        {"format_version": "2"},
        {"format_version": True},
        {"format_version": None},
        {"files": {"../canary.json": {"bytes": 2, "sha256": "0" * 64}}},
        {"files": {"/etc/passwd": {"bytes": 2, "sha256": "0" * 64}}},
        {"files": {name: {} for name in (*MODEL_FILES, "../canary.json")}},
        {"files": {name: {"bytes": -1, "sha256": "0" * 64} for name in MODEL_FILES}},
        {"files": {name: {"bytes": 1e30, "sha256": None} for name in MODEL_FILES}},
        {"files": {name: ["bytes"] for name in MODEL_FILES}},
        {"files": []},
        {"files": {}},
        {"more": "fields"},
    ],
    ids=repr,
)
def test_manifests(model, changes):
    seal(model, **changes)
    refused(model)


def test_a_newer_manifest_cannot_write_to_the_terminal(model):
    seal(model, format_version=2**40, library_version="\x1b[2J\n" + "x" * 10_000)
    assert "\x1b" not in refused(model)


# JSON.

DEEP = 100_000


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "schema.json", "calibration.json"])
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b"{} {}",
        b"__import__('os').system('touch exploded')",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_json(model, name, text, monkeypatch):
    monkeypatch.chdir(model)
    (model / name).write_bytes(text)
    if name != "manifest.json":
        seal(model)
    assert name in refused(model)
    assert not (model / "exploded").exists()


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "schema.json", "calibration.json"])
def test_json_of_very_many_lists_is_refused_before_one_is_made(model, name):
    """Eight megabytes of them would take 200 of memory."""
    n = {"manifest.json": 20_000, "config.json": 300_000}.get(name, 2_500_000)
    (model / name).write_bytes(b'{"a": [' + b"[]," * n + b"[]]}")
    if name != "manifest.json":
        seal(model)
    assert "lists and objects" in refused(model)


# The configuration.


def with_config(model: Path, change) -> None:
    config = json.loads((model / "config.json").read_text())
    changed = change(config)
    (model / "config.json").write_text(json.dumps(config if changed is None else changed))
    seal(model)


def with_arguments(model: Path, **arguments) -> None:
    with_config(model, lambda config: config["spec"]["arguments"].update(arguments))


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "likely.models.vae:VAE",
        "builtins.eval",
        "torch.nn:Linear",
        "../../vae",
        "https://example.com/model",
        "",
        "x" * 100_000,
        "\x1b[2J",
    ],
    ids=lambda name: name[:25],
)
def test_names_that_nobody_knows(model, name):
    with_config(model, lambda config: config["spec"].update(name=name))
    assert "config.json" in refused(model)
    with_arguments(model, network={"type": name})
    assert "config.json" in refused(model)


@pytest.mark.parametrize(
    "arguments",
    [
        {"z_size": -1},
        {"z_size": 0.5},
        {"z_size": True},
        {"z_size": "2"},
        {"z_size": 3},
        {"z_size": 2**52},
        {"z_size": 2**63},
        {"z_size": 10**400},
        {"z_size": [2]},
        {"x_shape": [4]},
        {"x_shape": [10**9, 10**9]},
        {"self": 1},
        {"name": "vae"},
        {"__class__": "VAE"},
        {"_target_": "os.system"},
        {"network": "os.system"},
        {"network": {"type": "Gaussian"}},
        {"network": {"type": "MLP", "hidden": [5]}},
        {"network": {"type": "MLP", "hidden": [10**9] * 100}},
        {"network": {"type": "MLP", "hidden": [2**52, 2**52]}},
        {"network": {"type": "MLP", "hidden": [1] * 4096}},
        {"network": {"type": "MLP", "hidden": [1] * 100_000}},
        {"network": {"type": "MLP", "hidden": [-1]}},
        {"network": {"type": "MLP", "hidden": [4], "activation": "__import__('os')"}},
        {"network": {"type": "MLP", "hidden": [4], "build": "eval"}},
        {"network": {"type": "MLP", "hidden": [[4]]}},
        {"network": {"type": "Convolutional"}},
        {"network": {"type": "Deep", "n_layers": 10**9}},
        {"network": {"type": {"type": "MLP"}}},
        {"network": {"type": "Spec", "name": "vae", "arguments": {}}},
        {"network": {}},
        {"network": {"hidden": [4]}},
        {"distortion": {"type": "Gaussian", "scale": "1"}},
        {"distortion": {"type": "Categorical", "levels": 10**15}},
    ],
    ids=lambda arguments: repr(arguments)[:60],
)
def test_arguments(model, arguments):
    with_arguments(model, **arguments)
    refused(model)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("gated_pixel_cnn", {"layers": 10**9}),
        ("pixel_cnn", {"blocks": 10**9}),
        ("pixel_rnn", {"layers": 10**6}),
        ("made", {"n_orders": 10**9}),
        ("made", {"hidden": [1] * 5_000}),
        ("ladder_vae", {"z_sizes": [1] * 5_000}),
        ("flow", {"design": {"type": "RealNVP", "layers": 10_000}}),
        ("flow", {"design": {"type": "NeuralSpline", "layers": 10_000}}),
        ("flow", {"design": {"type": "Glow", "steps": 10_000}}),
        ("vae", {"network": {"type": "ResidualMLP", "blocks": 10**6}}),
        ("vae", {"network": {"type": "Convolutional", "residual_blocks": 10**6}}),
        ("vae", {"posterior": {"type": "InverseAutoregressive", "steps": 10**6}}),
    ],
    ids=repr,
)
def test_counts_are_bounded_before_anything_is_built(model, name, arguments):
    with_config(model, lambda config: config["spec"].update(name=name, arguments=arguments))
    assert "expected at most" in refused(model)


def test_memory_that_no_tensor_in_the_file_accounts_for(model):
    with_arguments(model, network={"type": "Scratchy", "n": 2**25})
    assert "134,217,728 bytes in buffers" in refused(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(code="print()"),
        lambda config: config.update(info=[]),
        lambda config: config.pop("info"),
        lambda config: config.update(spec="vae"),
        lambda config: config.update(spec={"type": "MLP"}),
        lambda config: config.update(spec={"type": "Spec", "name": ["vae"], "arguments": {}}),
        lambda config: config["spec"].update(more=1),
        lambda config: config["spec"].update(arguments=[]),
        lambda config: [config],
    ],
)
def test_configurations(model, change):
    with_config(model, change)
    assert "config.json" in refused(model)


@pytest.mark.parametrize(
    "info",
    [
        {"data": "x.csv"},
        {"data": {"name": ["x.csv"]}},
        {"data": {"name": "x" * 100_000}},
        {"data": {"name": "x.csv", "options": {"size": "8x8"}}},
        {"data": {"name": "x.csv", "options": {"drop": "a"}}},
        {"data": {"name": "x.csv", "bytes": -1}},
        {"split": [1]},
        {"split": {"train": "many"}},
        {"train": {"seed": 10**30}},
        {"training": {"seconds": "long"}},
        {"training": {"best_step": -1}},
        {"test": "0.1"},
        {"chosen": "a"},
        {"chosen": [1]},
        {"created": 5},
        {"false_alarm_rate": 2},
    ],
    ids=lambda info: repr(info)[:60],
)
def test_what_it_tells_of_itself_is_what_a_fit_tells(model, info):
    with_config(model, lambda config: config.update(info=info))
    assert "which no fit writes" in refused(model)


@pytest.mark.parametrize("trap", ["pipe", "link to zeros", "folder", "link to itself", "huge", "words", "binary"])
def test_a_history_that_is_none_is_left_out(model, trap):
    file = model / "history.csv"
    match trap:
        case "pipe":
            os.mkfifo(file)
        case "link to zeros":
            file.symlink_to("/dev/zero")
        case "folder":
            file.mkdir()
        case "link to itself":
            file.symlink_to(file.name)
        case "huge":
            with open(file, "wb") as sparse:
                sparse.truncate(2**40)
        case "words":
            file.write_text("train,validation\n1,2,3\n" + "x" * 200_000)
        case "binary":
            file.write_bytes(bytes(range(256)) * 100)
    assert read_history(str(model)).rows == []
    load(model)


@pytest.mark.parametrize(
    "name", ["pipe.csv", "pipe.npy", "pipe.parquet", "pipe.png", "/dev/zero", "zeros.csv", "huge.csv"]
)
def test_data_that_it_names_is_opened_only_where_it_can_be_the_data(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.csv")
    for other in ("pipe.npy", "pipe.parquet", "pipe.png"):
        (tmp_path / other).symlink_to("pipe.csv")
    (tmp_path / "zeros.csv").symlink_to("/dev/zero")
    with open(tmp_path / "big.csv", "wb") as sparse:
        sparse.truncate(2**40)
    info = {"data": {"name": str(tmp_path / name), "digest": "0" * 32, "options": {}}}
    with pytest.raises(DataError):
        reopen(info)


@pytest.mark.parametrize(
    "change",
    [
        {"row_shape": [10**7, 10**6]},
        {"row_shape": [10**18]},
        {"row_shape": [5]},
        {"row_shape": [-4]},
        {"kind": "os.system"},
        {"dtype": "object"},
        {"more": 1},
        {"columns": []},
        {"columns": [{"type": "Spec"}] * 4},
    ],
    ids=repr,
)
def test_schemas(model, change):
    schema = json.loads((model / "schema.json").read_text())
    (model / "schema.json").write_text(json.dumps(schema | change))
    seal(model)
    assert "schema.json" in refused(model)


# The weights.


def with_weights(model: Path, change, *, body=None, header_bytes=None) -> None:
    file = model / "weights.safetensors"
    data = file.read_bytes()
    n_bytes = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n_bytes])
    changed = change(header)
    text = changed if isinstance(changed, bytes) else json.dumps(header).encode()
    rest = data[8 + n_bytes :] if body is None else body(data[8 + n_bytes :])
    file.write_bytes(struct.pack("<Q", len(text) if header_bytes is None else header_bytes) + text + rest)
    seal(model)


def first(header: dict) -> str:
    return sorted(name for name in header if name != "__metadata__")[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop(first(header)),
        lambda header: header.update(evil=header[first(header)]),
        lambda header: header[first(header)].update(dtype="F64"),
        lambda header: header[first(header)].update(dtype="I32"),
        lambda header: header[first(header)].update(dtype="os.system"),
        lambda header: header[first(header)].update(shape=[10**6, 10**7]),
        lambda header: header[first(header)].update(shape=[-1]),
        lambda header: header[first(header)].update(shape=["4"]),
        lambda header: header[first(header)].update(shape=4),
        lambda header: header[first(header)].update(data_offsets=[0, 2**62]),
        lambda header: header[first(header)].update(data_offsets=[-4, 0]),
        lambda header: header[first(header)].update(data_offsets=[0, 0]),
        lambda header: header[first(header)].update(data_offsets=[0]),
        lambda header: header[first(header)].update(data_offsets=[8, 24]),
        lambda header: header[first(header)].update(file="../canary.json"),
        lambda header: header.pop("__metadata__"),
        lambda header: header.update(__metadata__=[]),
        lambda header: header.update(__metadata__={"aliases": {}}),
        lambda header: header.update(__metadata__={"aliases": "[]"}),
        lambda header: header.update(__metadata__={"aliases": "\ud800"}),
        lambda header: header.update(__metadata__={"aliases": '{"a": ["b"]}'}),
        lambda header: header.update(__metadata__={"aliases": '{"a": "b", "b": "a"}'}),
        lambda header: header.update(__metadata__={"aliases": json.dumps({"__class__": first(header)})}),
        lambda header: header.update(__metadata__={"aliases": json.dumps({first(header): first(header)})}),
        lambda header: header.update(__metadata__={"aliases": "[" * DEEP}),
        lambda header: b"[]",
        lambda header: b"{}",
        lambda header: b"",
        lambda header: b"{" + b" " * 2**20,
        lambda header: b"\x80\x05cos\nsystem\n",
        lambda header: json.dumps(header).encode().replace(b'"shape"', b'"shape": [], "shape"', 1),
    ],
)
def test_headers(model, change):
    with_weights(model, change)
    assert "weights.safetensors" in refused(model)


@pytest.mark.parametrize("n_bytes", [0, 1, 2**24, 2**31, 2**63, 2**64 - 1])
def test_lengths_of_the_header(model, n_bytes):
    with_weights(model, lambda header: None, header_bytes=n_bytes)
    assert "weights.safetensors" in refused(model)


@pytest.mark.parametrize(
    "body",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: np.full(len(data) // 4, np.nan, np.float32).tobytes(),
        lambda data: data[:-4] + np.array([np.inf], np.float32).tobytes(),
    ],
)
def test_tensors(model, body):
    with_weights(model, lambda header: None, body=body)
    assert "weights.safetensors" in refused(model)


def test_weights_cut_anywhere(model):
    whole = (model / "weights.safetensors").read_bytes()
    for length in [*range(24), *range(24, len(whole), 97)]:
        (model / "weights.safetensors").write_bytes(whole[:length])
        seal(model)
        assert "weights.safetensors" in refused(model)


class Mixed(Model):
    """A parameter and a buffer of one shape."""

    def __init__(self, x_shape: tuple[int, ...]) -> None:
        super().__init__(x_shape)
        self.weight = torch.nn.Parameter(torch.rand(3))
        self.register_buffer("mean", torch.rand(3))


def test_a_tie_between_tensors_of_two_kinds(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "mixed", Mixed)
    path = tmp_path / "model"
    save(path, model=Mixed((4,)), spec=Spec("mixed"), schema=SCHEMA, calibration={}, info={})
    load(path)
    for alias, owner in (("weight", "mean"), ("mean", "weight")):
        header = {"aliases": json.dumps({alias: owner})}
        (path / "weights.safetensors").write_bytes(safetensors.torch.save({owner: torch.rand(3)}, header))
        seal(path)
        assert "weights.safetensors: it ties" in refused(path)


@pytest.mark.parametrize("name", ["manifest.json", *MODEL_FILES])
def test_random_damage_that_is_sealed_loads_or_is_refused_and_nothing_else(model, name):
    generator = np.random.default_rng(0)
    whole = (model / name).read_bytes()
    n_refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for place in generator.integers(0, min(len(data), 2000), generator.integers(1, 4)):
            data[place] = generator.choice(list(b'0123456789"[]{},:-.eE \\tfn\x80\x00\xff'))
        (model / name).write_bytes(data)
        if name != "manifest.json":
            seal(model)
        try:
            load(model)
        except ModelFileError:
            n_refused += 1
    assert n_refused > 10
