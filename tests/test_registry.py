"""Names, Specs, and their JSON."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from likely.contract import Model
from likely.errors import UnknownName, UserError
from likely.likelihoods import Bernoulli, Gaussian
from likely.networks import MLP, Network
from likely.registry import (
    MODELS,
    PARTS,
    PRESETS,
    Spec,
    from_json,
    model_class,
    part_class,
    register,
    to_json,
)


@pytest.fixture
def registry(monkeypatch):
    """The names as they are, put back after the test."""
    for known in (MODELS, PARTS):
        for name, entry in list(known.items()):
            monkeypatch.setitem(known, name, entry)
    before = (dict(MODELS), dict(PARTS))
    yield
    for known, was in zip((MODELS, PARTS), before, strict=True):
        known.clear()
        known.update(was)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_found_under_its_name(name):
    assert issubclass(model_class(name), Model)


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_a_frozen_dataclass_that_comes_back_from_json(name):
    part = part_class(name)()
    assert type(part).__name__ == name
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.anything = 1
    assert from_json(json.loads(json.dumps(to_json(part)))) == part


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_resolves_and_has_a_reference(name):
    Spec(name).check()
    assert Spec(name).resolve().name in MODELS
    assert PRESETS[name].reference


def test_importing_the_registry_loads_no_torch():
    code = "import sys, likely.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_tells_the_nearest_and_where_all_are_listed():
    with pytest.raises(UnknownName, match=r"unknown model 'VEA'; nearest: vae.*`likely models`"):
        Spec("VEA").check()
    with pytest.raises(UnknownName, match=r"nearest: beta-vae"):
        Spec("betavae").check()
    with pytest.raises(UnknownName, match=r"unknown argument of vae: 'zsize'; nearest: z_size"):
        Spec("vae", zsize=3).check()
    with pytest.raises(UnknownName, match=r"x_shape"):
        Spec("vae", x_shape=(3,)).check()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"z_size": "16"}, "vae: z_size takes int or None, got '16'"),
        ({"z_size": True}, "z_size takes int or None, got True"),
        ({"z_size": 2.5}, "z_size takes int or None"),
        ({"beta": float("nan")}, "beta takes float, got nan"),
        ({"likelihood": "Gaussian"}, "likelihood takes Bernoulli or ContinuousBernoulli or Gaussian or .* or None"),
        ({"network": Gaussian()}, "network takes MLP or .* or None, got Gaussian"),
        ({"condition_shape": 3}, r"condition_shape takes tuple\[int, ...\] or None, got 3"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(arguments, said):
    with pytest.raises(UserError, match=said):
        Spec("vae", **arguments).check()


def test_build_gives_the_model_its_shape_and_arguments():
    model = Spec("beta-vae", z_size=3, network=MLP((8,))).build((5,), condition_shape=[2])
    config = model.config()
    assert (config["x_shape"], config["z_size"], config["beta"]) == ((5,), 3, 4.0)
    assert config["network"] == MLP((8,))
    assert config["condition_shape"] == (2,)
    assert Spec("beta-vae", beta=2).build((5,)).config()["beta"] == 2.0


def test_what_a_constructor_refuses_is_the_users_error():
    class Refusing(Model):
        def __init__(self, x_shape: tuple[int, ...], size: int) -> None:
            raise ValueError("size must be odd")

    MODELS["refusing"] = Refusing
    try:
        with pytest.raises(UserError, match="refusing: size must be odd"):
            Spec("refusing", size=2).build((1,))
        with pytest.raises(UserError, match="refusing: size must be given: int"):
            Spec("refusing").build((1,))
        assert Spec("refusing").get_params() == {"name": "refusing", "size": None}
    finally:
        del MODELS["refusing"]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("z_size", "16", 16),
        ("z_size", "none", None),
        ("z_size", "null", None),
        ("beta", "1", 1.0),
        ("beta", ".5", 0.5),
        ("beta", "1e-3", 1e-3),
        ("condition_shape", "512,256", (512, 256)),
        ("condition_shape", "512", (512,)),
        ("condition_shape", "[512, 256]", (512, 256)),
        ("likelihood", "Gaussian", Gaussian()),
        ("likelihood", '{"type": "Gaussian", "min_scale": 0.5}', Gaussian(min_scale=0.5)),
        ("network", '{"type": "MLP", "hidden": [8, 4], "activation": "tanh"}', MLP((8, 4), "tanh")),
    ],
)
def test_parse_reads_a_text_as_its_argument_says(key, text, value):
    parsed = Spec.parse("vae", {key: text})
    assert parsed == Spec("vae", **{key: value})
    assert type(parsed.arguments[key]) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("z_size", "many", "z_size takes int or None, got 'many'"),
        ("z_size", "1.5", "z_size takes int or None"),
        ("zsize", "1", "nearest: z_size"),
        ("likelihood", "Gausian", "likelihood takes Bernoulli or"),
        ("likelihood", '{"type": "Gausian"}', "unknown part 'Gausian'; nearest: Gaussian"),
        ("likelihood", '{"type": "Gaussian", "floor": 1}', "unknown argument of Gaussian: 'floor'"),
        ("beta", "inf", "beta takes float"),
        ("beta", "1e999", "no value that a file may hold"),
    ],
)
def test_parse_refuses_what_it_cannot_read(key, text, said):
    with pytest.raises(UserError, match=said):
        Spec.parse("vae", {key: text})


class Detector(BaseEstimator):
    """The least estimator that holds a Spec."""

    def __init__(self, model=None):
        self.model = model

    def fit(self, X, y=None):
        self.z_size_ = self.model.build((X.shape[1],)).config()["z_size"]
        return self

    def score(self, X, y=None):
        return -abs(self.z_size_ - 3)


def test_scikit_learn_searches_and_clones_a_spec():
    search = GridSearchCV(Detector(Spec("vae", beta=2.0)), {"model__z_size": np.array([2, 3])}, cv=2)
    search.fit(np.zeros((8, 4)))
    assert search.best_params_ == {"model__z_size": 3}
    assert search.best_estimator_.model == Spec("vae", beta=2.0, z_size=3)
    spec = Spec("beta-vae", network=MLP((4,)), z_size=2)
    assert clone(spec, safe=False) == spec
    assert clone(spec, safe=False) is not spec
    assert "model__z_size" in Detector(Spec("vae")).get_params()


def test_set_params_changes_all_or_nothing():
    spec = Spec("vae", z_size=2)
    with pytest.raises(UnknownName, match="widht"):
        spec.set_params(z_size=4, widht=1)
    assert spec == Spec("vae", z_size=2)
    assert spec.set_params(z_size=4) is spec
    assert spec.get_params()["z_size"] == 4
    assert Spec("beta-vae").get_params()["beta"] == 4.0
    with pytest.raises(ValueError):
        Spec("vae", beta=2.0).set_params(name="pca")


def test_arguments_are_a_copy_and_lists_are_tuples():
    spec = Spec("vae", condition_shape=[1, 2])
    spec.arguments["z_size"] = 3
    assert spec.arguments == {"condition_shape": (1, 2)}
    assert spec != Spec("vae")
    assert repr(spec) == "Spec('vae', condition_shape=(1, 2))"


def test_a_spec_comes_back_from_json():
    spec = Spec("vae", z_size=3, network=MLP((8, 4)), likelihood=Bernoulli(), condition_shape=None)
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    nested = Spec("vae", prior=Spec("pca", z_size=1))
    assert from_json(to_json(nested)) == nested


def test_json_refuses_what_a_file_cannot_hold_by_name():
    with pytest.raises(UserError, match=r"vae: network is of type Linear.*frozen dataclass.*likely.register"):
        Spec("vae", network=nn.Linear(1, 1)).to_json()
    with pytest.raises(UserError, match="value is of type float"):
        to_json(float("inf"))


@pytest.mark.parametrize(
    "data",
    [
        {"type": "os:system"},
        {"type": "likely.networks.mlp:MLP"},
        {"type": "MLP", "hidden": [8], "extra": 1},
        {"type": "MLP", "hidden": ["8"]},
        {"type": "MLP", "hidden": 8},
        {"type": "MLP", "hidden": [True]},
        {"type": "MLP", "activation": "exec"},
        {"type": "MLP", "self": 1},
        {"type": "Spec", "name": "vae"},
        {"type": "Spec", "name": "vae", "arguments": {}, "more": 1},
        {"type": "Spec", "name": "vae", "arguments": {"self": 1}},
        {"type": "Spec", "name": "vae", "arguments": {"name": "pca"}},
        {"type": ["MLP"]},
        {"hidden": [8]},
        {},
        [0] * 100_001,
        2**53,
        -(2**53),
        "x" * 10_000,
        float("nan"),
        float("-inf"),
        b"bytes",
    ],
    ids=lambda data: repr(data)[:60],
)
def test_from_json_refuses_what_is_not_ours(data):
    with pytest.raises(UserError):
        from_json(data)


def test_from_json_refuses_depth():
    data = []
    for _ in range(15):
        data = [data]
    assert isinstance(from_json(data), tuple)
    with pytest.raises(UserError, match="deeper than 16"):
        from_json([data])


def test_register_makes_ones_own_known_and_never_takes_anothers_name(registry):
    @register
    @dataclasses.dataclass(frozen=True)
    class Wide(Network):
        width: int = 7

        def build(self, x_shape, **sizes):
            return MLP((self.width,)).build(x_shape, **sizes)

    assert from_json(to_json(Wide(9))) == Wide(9)
    assert Spec.parse("vae", {"network": "Wide"}).build((4,)).config()["network"] == Wide()

    @register
    @dataclasses.dataclass(frozen=True)
    class Wide(Wide):  # the same cell of a notebook, run again
        pass

    assert part_class("Wide") is Wide

    class Thief(Model):
        def __init__(self, x_shape: tuple[int, ...]) -> None:
            super().__init__(x_shape)

    register(Thief)
    assert isinstance(Spec("thief").build((2,)), Thief)
    for taken in ("vae", "beta-vae"):
        with pytest.raises(UserError, match=f"the name '{taken}' is taken"):
            register(Thief, name=taken)
    with pytest.raises(UserError, match="frozen dataclass"):
        register(dict)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("MLP", MLP()),
        ("MLP()", MLP()),
        ("MLP(hidden=(6, 5), tied=True)", MLP((6, 5), tied=True)),
        ('{"type": "MLP", "hidden": [6]}', MLP((6,))),
    ],
)
def test_a_part_is_written_as_in_python_or_as_in_json(text, network):
    assert Spec.parse("autoencoder", {"network": text}).arguments["network"] == network


def test_parts_are_written_inside_each_other():
    penalized = Spec.parse("autoencoder", {"pretraining": "Greedy(epochs=2)"})
    assert penalized.arguments["pretraining"].epochs == 2


@pytest.mark.parametrize("text", ["MLP(open('x'))", "open('x')", "MLP(hidden=[].__class__)", "MLP(5)", "MLP(**{})"])
def test_nothing_but_parts_is_called(text):
    with pytest.raises(UserError):
        Spec.parse("autoencoder", {"network": text})
