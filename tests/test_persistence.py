"""Fitted directories and checkpoints come back as they were, or not at all."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from likely.contract import Encoder, Model
from likely.data import infer_schema, open_source
from likely.errors import ModelFileError, UnknownName, UserError
from likely.files import standing
from likely.likelihoods import Bernoulli, Categorical, ContinuousBernoulli, DiscretizedLogisticMixture
from likely.networks import MLP, Convolutional, Network
from likely.persistence import Checkpoints, add_extra, load, save
from likely.registry import MODELS, PARTS, Spec
from tests.faults import dies_at, failing_at

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
SCHEMA = infer_schema(open_source(X))
IMAGES = infer_schema(open_source(np.random.default_rng(0).integers(0, 256, (30, 9, 7), dtype=np.uint8)))

SPECS = {
    "pca": (Spec("pca", z_size=2), SCHEMA),
    "ppca": (Spec("ppca", z_size=2), SCHEMA),
    "autoencoder": (Spec("autoencoder", network=MLP((8,), "tanh")), SCHEMA),
    "vae": (Spec("vae"), SCHEMA),
    "preset": (Spec("beta-vae", z_size=3), SCHEMA),
    "conditional": (Spec("vae", condition_shape=(2,), network=MLP((5,))), SCHEMA),
    "convolutional": (Spec("vae", network=Convolutional((4, 4), hidden=8), likelihood=Bernoulli()), IMAGES),
    "unit": (Spec("vae", network=MLP(()), likelihood=ContinuousBernoulli()), IMAGES),
    "levels": (Spec("vae", network=MLP(()), likelihood=Categorical(levels=256)), IMAGES),
    "mixture": (Spec("vae", network=MLP(()), likelihood=DiscretizedLogisticMixture()), IMAGES),
}


def build(spec, schema, dtype=torch.float32):
    torch.manual_seed(0)
    model = spec.build(schema.x_shape).to(dtype)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape))
    return model


def keep(path, spec, schema, model, **options):
    save(path, model=model, spec=spec, schema=schema, calibration={"surprises": [1.5]}, info={"n": 40}, **options)


def same(model: Model, other: Model) -> bool:
    one, two = model.state_dict(), other.state_dict()
    return list(one) == list(two) and all(
        torch.equal(one[name], two[name]) and one[name].dtype == two[name].dtype for name in one
    )


@pytest.fixture
def known():
    """Whatever a test makes known is forgotten again."""
    before = dict(MODELS), dict(PARTS)
    yield
    for names, was in zip((MODELS, PARTS), before, strict=True):
        names.clear()
        names.update(was)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", SPECS)
def test_a_model_comes_back_bit_for_bit(tmp_path, name, dtype):
    spec, schema = SPECS[name]
    model = build(spec, schema, dtype)
    keep(tmp_path / "model", spec, schema, model)
    generator = torch.get_rng_state()
    loaded = load(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), generator)
    assert same(model, loaded.model)
    assert type(loaded.model) is type(model)
    assert loaded.model.config() == model.config()
    assert not loaded.model.training
    assert loaded.schema == schema
    assert (loaded.calibration, loaded.info) == ({"surprises": [1.5]}, {"n": 40})
    assert loaded.spec.build(schema.x_shape).config() == model.config()


def test_a_new_process_gives_equal_outputs(tmp_path):
    x = torch.from_numpy(X)
    for name in ("pca", "ppca", "autoencoder", "vae"):
        spec, schema = SPECS[name]
        model = build(spec, schema)
        keep(tmp_path / name, spec, schema, model)
        np.save(tmp_path / f"{name}.npy", model.encode(x).detach().numpy())
    code = (
        "import sys, numpy as np, torch; from likely.persistence import load\n"
        "x = torch.from_numpy(np.load('x.npy'))\n"
        "for name in ('pca', 'ppca', 'autoencoder', 'vae'):\n"
        "    assert np.array_equal(load(name).model.encode(x).detach().numpy(), np.load(name + '.npy')), name\n"
    )
    np.save(tmp_path / "x.npy", X)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)


class Tied(Encoder):
    """Two names for one matrix, tied by the constructor or not."""

    def __init__(self, x_shape: tuple[int, ...], *, tie: bool = True) -> None:
        super().__init__(x_shape)
        self.tie, self.z_shape = tie, x_shape
        self.a, self.b = nn.Linear(x_shape[0], x_shape[0]), nn.Linear(x_shape[0], x_shape[0])
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("also_empty", torch.zeros(0))
        self.register_buffer("steps", torch.tensor(3))
        self.register_buffer("mask", torch.ones(2, dtype=torch.bool))
        self.register_buffer("scratch", torch.full((3,), 7.0), persistent=False)
        if tie:
            self.b.weight = self.a.weight

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.b(self.a(x))


@pytest.mark.parametrize("tie", [True, False])
def test_tied_tensors_are_kept_once_and_tied_again(tmp_path, known, tie):
    MODELS["tied"] = Tied
    spec = Spec("tied", tie=tie)
    model = Tied(SCHEMA.x_shape, tie=tie).double()
    model.b.weight = model.a.weight
    model.steps.fill_(5)
    keep(tmp_path / "model", spec, SCHEMA, model)
    head = (tmp_path / "model" / "weights.safetensors").read_bytes()
    assert head.count(b'b.weight"') + head.count(b'b.weight\\"') == 1
    loaded = load(tmp_path / "model").model
    assert loaded.b.weight is loaded.a.weight
    assert loaded.empty is not loaded.also_empty
    assert same(model, loaded)
    assert torch.equal(loaded.scratch, torch.full((3,), 7.0, dtype=torch.float64))
    loaded.a.weight.data.fill_(2.0)
    assert (loaded.b.weight == 2).all()


def test_tensors_that_overlap_are_kept_apart(tmp_path, known):
    MODELS["tied"] = Tied
    model = Tied(SCHEMA.x_shape, tie=False)
    memory = torch.arange(60.0)
    model.a.weight.data, model.b.weight.data = memory[:36].view(6, 6), memory[24:].view(6, 6).T
    keep(tmp_path / "model", Spec("tied", tie=False), SCHEMA, model)
    loaded = load(tmp_path / "model").model
    assert same(model, loaded)
    loaded.a.weight.data.zero_()
    assert not (loaded.b.weight == 0).any()


def test_ones_own_part_has_to_be_known_to_be_loaded(tmp_path, known):
    @dataclasses.dataclass(frozen=True)
    class Own(Network):
        width: int = 3

        def build(self, x_shape, **sizes):
            return MLP((self.width,)).build(x_shape, **sizes)

    spec = Spec("vae", network=Own(4))
    model = build(spec, SCHEMA)
    with pytest.raises(UserError, match=r"vae: network is of type Own.*likely.register"):
        keep(tmp_path / "model", spec, SCHEMA, model)
    PARTS["Own"] = Own
    keep(tmp_path / "model", spec, SCHEMA, model)
    assert load(tmp_path / "model").model.config()["network"] == Own(4)
    del PARTS["Own"]
    with pytest.raises(ModelFileError, match=r"config.json: unknown part 'Own'.*likely.register"):
        load(tmp_path / "model")


def test_a_bare_module_is_refused_by_the_arguments_name(tmp_path, known):
    class Bare(Model):
        def __init__(self, x_shape: tuple[int, ...], body: nn.Module) -> None:
            super().__init__(x_shape)
            self.body = body

    MODELS["bare"] = Bare
    spec = Spec("bare", body=nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"bare: body is of type Linear.*`train` but in no file.*dataclass"):
        keep(tmp_path / "model", spec, SCHEMA, spec.build(SCHEMA.x_shape))
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    spec, schema = SPECS["vae"]
    model = build(spec, schema)
    with pytest.raises(UnknownName, match="network"):
        keep(tmp_path / "model", Spec("pca"), schema, model)
    with pytest.raises(UserError, match="not the model to save"):
        keep(tmp_path / "model", spec, IMAGES, model)
    with pytest.raises(ValueError, match="JSON"):
        save(tmp_path / "model", model=model, spec=spec, schema=schema, calibration={"s": float("nan")}, info={})
    with pytest.raises(ValueError, match="none of the files"):
        keep(tmp_path / "model", spec, schema, model, extras={"../evil": b""})
    model.codec.head = nn.Linear(3, 3)
    with pytest.raises(UserError, match=r"tensor 'codec.head.bias' is .*\(3,\), and .*\(6,\) by the arguments"):
        keep(tmp_path / "model", spec, schema, model)
    model = build(spec, schema)
    model.codec.head.bias.data[0] = torch.nan
    with pytest.raises(UserError, match=r"'codec.head.bias' holds NaN"):
        keep(tmp_path / "model", spec, schema, model)
    assert list(tmp_path.iterdir()) == []


def test_a_fitted_directory_is_replaced_only_when_asked_and_nothing_else_ever_is(tmp_path):
    path = tmp_path / "model"
    spec, schema = SPECS["pca"]
    old, new = build(spec, schema), build(spec, schema, torch.float64)
    keep(path, spec, schema, old, extras={"README.md": b"old"})
    with pytest.raises(UserError, match="overwrite=True"):
        keep(path, spec, schema, new)
    assert same(load(path).model, old)
    (path / ".report.html.tmp-1-ab").write_bytes(b"left by a write that was killed")
    keep(path, spec, schema, new, overwrite=True)
    assert same(load(path).model, new)
    assert not (path / "README.md").exists()
    (path / "scores.csv").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"holds 'scores.csv', which is no part of a model"):
        keep(path, spec, schema, old, overwrite=True)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_bytes(b"mine")
    with pytest.raises(UserError, match="is no fitted directory"):
        keep(tmp_path / "project", spec, schema, old, overwrite=True)
    assert same(load(path).model, new)
    assert [entry.name for entry in (tmp_path / "project").iterdir()] == ["README.md"]


def test_a_save_killed_anywhere_leaves_the_old_or_the_new_model(tmp_path):
    spec, schema = SPECS["pca"]
    old, new = build(spec, schema), build(spec, schema, torch.float64)
    outcomes = []
    for k in itertools.count(1):
        path = tmp_path / str(k) / "model"
        keep(path, spec, schema, old)
        died = dies_at(k, lambda path=path: keep(path, spec, schema, new, overwrite=True, extras={"README.md": b"x"}))
        found = load(path).model
        assert same(found, old) or same(found, new)
        outcomes.append(same(found, new))
        if not died:
            break
    assert k > 20
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (False, True)


def test_a_full_disk_leaves_the_old_model(tmp_path):
    spec, schema = SPECS["pca"]
    old = build(spec, schema)
    keep(tmp_path / "model", spec, schema, old)
    for k in range(1, 6):
        with failing_at(k, OSError(28, os.strerror(28)), ("write",)), pytest.raises(UserError, match="free some space"):
            keep(tmp_path / "model", spec, schema, old.double(), overwrite=True)
        assert load(tmp_path / "model").model.mean.dtype == torch.float32
        old.float()
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_extras_come_whole_and_the_model_does_not_depend_on_them(tmp_path):
    path = tmp_path / "model"
    spec, schema = SPECS["pca"]
    keep(path, spec, schema, build(spec, schema), extras={"metrics.json": b"{}"})
    add_extra(path, "report.html", b"<html>")
    assert (path / "report.html").read_bytes() == b"<html>"
    for k in itertools.count(1):
        died = dies_at(k, lambda: add_extra(path, "report.html", b"<html>" * 9))
        assert (path / "report.html").read_bytes() in (b"<html>", b"<html>" * 9)
        if not died:
            break
    (path / "report.html").write_bytes(b"\x80 anything")
    (path / "weights.pkl").write_bytes(b"never opened")
    load(path)
    for name in ("config.json", "../report.html", ".hidden"):
        with pytest.raises(ValueError, match="none of the files"):
            add_extra(path, name, b"")
    with pytest.raises(ModelFileError, match="does not exist"):
        add_extra(tmp_path / "nothing", "report.html", b"")
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "schema.json", "calibration.json"])
def test_a_flipped_bit_in_every_other_byte_of_a_small_file_is_found(tmp_path, name):
    spec, schema = SPECS["pca"]
    keep(tmp_path / "model", spec, schema, build(spec, schema))
    file = tmp_path / "model" / name
    flip_and_load(file, range(0, len(file.read_bytes()), 2), lambda: load(tmp_path / "model"))


def test_flipped_bits_of_the_weights_are_found(tmp_path):
    spec, schema = SPECS["pca"]
    keep(tmp_path / "model", spec, schema, build(spec, schema))
    file = tmp_path / "model" / "weights.safetensors"
    flip_and_load(file, range(0, len(file.read_bytes()), 3), lambda: load(tmp_path / "model"))


def flip_and_load(file, places, read):
    whole = file.read_bytes()
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=file.name):
            read()
    file.write_bytes(whole)
    read()


def test_where_a_model_should_be_and_is_not_is_told(tmp_path):
    with pytest.raises(ModelFileError, match=r"does not exist: `likely fit SOURCE --model NAME --out"):
        load(tmp_path / "model")
    (tmp_path / "model.partial").mkdir()
    with pytest.raises(ModelFileError, match=r"is not finished: .*--resume"):
        load(tmp_path / "model")
    (tmp_path / "data.csv").write_bytes(b"1,2")
    with pytest.raises(ModelFileError, match="is a file and no fitted directory: give the directory first"):
        load(tmp_path / "data.csv")


def test_a_model_set_aside_by_a_cut_off_save_is_still_found(tmp_path):
    spec, schema = SPECS["pca"]
    keep(tmp_path / "model", spec, schema, build(spec, schema))
    (tmp_path / "model").rename(tmp_path / ".model.likely-old")
    assert standing(tmp_path / "model") == tmp_path / ".model.likely-old"
    load(tmp_path / "model")
    assert not (tmp_path / "model").exists(), "who reads changes nothing"


def test_a_newer_format_says_who_wrote_it_and_to_upgrade(tmp_path):
    spec, schema = SPECS["pca"]
    keep(tmp_path / "model", spec, schema, build(spec, schema))
    manifest = tmp_path / "model" / "manifest.json"
    content = json.loads(manifest.read_text()) | {"format_version": 99, "library_version": "9.1\n"}
    manifest.write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match=r"is of format 99, written by likely '9\.1\\n'.*upgrade") as caught:
        load(tmp_path / "model")
    assert "\n" not in str(caught.value)


TENSORS = {
    "float32": torch.rand(3, 2),
    "float64": torch.rand(2).double(),
    "bfloat16": torch.rand(2).bfloat16(),
    "float16": torch.rand(2).half(),
    "int64": torch.tensor(7),
    "uint8": torch.arange(5, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
    "turned": torch.rand(3, 2).T,
    "nan": torch.tensor([torch.nan, torch.inf]),
}
STATE = {"step": 3, "loss": [0.1, 1e-300, float("inf")], "nested": {"who": 'é"\n', "none": None}, "seed": 2**62}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    store = Checkpoints(tmp_path / "run.partial")
    assert store.load() is None
    store.clear()
    store.save(TENSORS, {"step": 1})
    store.save({**TENSORS, "again": TENSORS["float32"]}, STATE)
    tensors, state = store.load()
    assert state == STATE
    assert tensors.keys() == {*TENSORS, "again"}
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name].nan_to_num(), tensor.nan_to_num())
    store.clear()
    assert not (tmp_path / "run.partial").exists()
    assert store.load() is None


def test_clear_removes_only_what_was_written(tmp_path):
    store = Checkpoints(tmp_path / "run")
    store.save(TENSORS, STATE)
    (tmp_path / "run" / "mine").write_bytes(b"")
    store.clear()
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["mine"]


def test_a_checkpoint_killed_anywhere_is_the_old_or_the_new_one_and_leaves_no_litter(tmp_path):
    store = Checkpoints(tmp_path)
    for k in itertools.count(1):
        store.save(TENSORS, {"step": 1})
        died = dies_at(k, lambda: store.save(TENSORS, {"step": 2}))
        assert store.load()[1]["step"] in (1, 2)
        store.save(TENSORS, {"step": 3})
        assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.safetensors"]
        if not died:
            break
    assert k == 5


def test_every_damaged_byte_of_a_checkpoint_is_found_and_every_cut(tmp_path):
    store = Checkpoints(tmp_path)
    store.save({"a": torch.rand(5), "b": torch.arange(3)}, {"step": 1, "text": "x" * 20})
    file = tmp_path / "checkpoint.safetensors"
    whole = file.read_bytes()
    flip_and_load(file, range(len(whole)), store.load)
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"is damaged .*: start afresh, without --resume"):
            store.load()


def test_a_checkpoint_that_is_no_plain_file_is_refused(tmp_path):
    store = Checkpoints(tmp_path / "run")
    store.save(TENSORS, STATE)
    file = tmp_path / "run" / "checkpoint.safetensors"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelFileError, match="is a link"):
        store.load()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ModelFileError, match="not a regular file"):
        store.load()
