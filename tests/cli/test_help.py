import os
import re
import subprocess
import sys

import pytest

import likely.contract
from likely.cli.looking import CAPABILITIES
from likely.contract import BoundedDensity, EstimatedDensity
from likely.registry import MODELS, PRESETS, model_class

VERBS = [
    "data",
    "models",
    "fit",
    "score",
    "encode",
    "reconstruct",
    "restore",
    "interpolate",
    "sample",
    "evaluate",
    "report",
]

WITHOUT_HEAVY_IMPORTS = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "numpy", "sklearn", "pyarrow", "PIL", "matplotlib"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
from likely.cli import main
main()
"""


def in_process(*args: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT_HEAVY_IMPORTS, *args]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60)


@pytest.mark.parametrize("args", [("--help",), (), ("fit", "--help"), ("--version",)])
def test_help_loads_nothing_heavy(args):
    ended = in_process(*args)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout


def test_help_names_every_verb():
    shown = in_process("--help", COLUMNS="80").stdout
    described = {line.split()[0]: line for line in shown.splitlines() if line.startswith("  ") and line.split()}
    assert set(VERBS) <= set(described)
    assert not any("..." in described[verb] for verb in VERBS)  # nothing is cut off
    assert "\x1b" not in shown


def test_a_usage_error_is_one_line_even_without_torch():
    ended = in_process("fti")
    assert ended.returncode == 2
    assert ended.stderr.startswith("likely: ")
    assert "fit" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_models_lists_every_model_within_80_columns(likely, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    answer = likely("models")
    assert answer.code == 0
    assert all(name in answer.out for name in [*MODELS, *PRESETS])
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "\x1b" not in answer.out
    assert "…" not in answer.out
    head = answer.out[: answer.out.index("\npca ")].split()
    assert {piece for heading in CAPABILITIES.values() for piece in heading.split()} <= set(head), "one is cut off"


def test_markdown_ticks_what_each_class_can_do(likely):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in likely("models", "--markdown").out.splitlines()
        if line
    ]
    head = rows[0]
    words = {name: heading.replace("-\n", "").replace("\n", " ") for name, heading in CAPABILITIES.items()}
    by_model = {row[0].strip("`"): dict(zip(head, row, strict=False)) for row in rows[2:]}
    for name in MODELS:
        for capability in likely_capabilities():
            ticked = by_model[name][words[capability.__name__]] == "✓"
            able = issubclass(model_class(name), capability)
            if capability is BoundedDensity:  # an estimate holds to both sides
                able = able and not issubclass(model_class(name), EstimatedDensity)
            assert ticked == able, (name, capability)
        assert by_model[name]["reference"]
    for row, (name, preset) in zip(rows[-len(PRESETS) :], PRESETS.items(), strict=True):
        assert row == [f"`{name}`", f"`{preset.as_set}`", preset.reference]


def likely_capabilities():
    return likely.contract.CAPABILITIES


def test_every_capability_has_a_heading():
    assert [each.__name__ for each in likely_capabilities()] == list(CAPABILITIES)


@pytest.mark.parametrize("name", [*MODELS, *PRESETS])
def test_one_model_shows_every_argument_with_its_default_and_meaning(likely, name, monkeypatch):
    from likely.registry import Spec, arguments_of

    monkeypatch.setenv("COLUMNS", "100")
    out = likely("models", name).out
    spec = Spec(name).resolve()
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ") and line.split()}
    for argument in arguments_of(model_class(spec.name)).values():
        if argument.name in ("x_shape", "condition_shape"):
            continue
        default = PRESETS[name].settings.get(argument.name) if name in PRESETS else None
        shown = re.split(r"\s{2,}", lines[argument.name].strip())[1]
        assert str(default or argument.default).startswith(shown)  # a long one goes on in the next line
        assert len(lines[argument.name].split()) > 3, "the docstring says nothing of it"


def test_an_unknown_model_is_told_with_the_nearest(likely):
    answer = likely("models", "vea")
    assert answer.code == 2
    assert "vae" in answer.line
