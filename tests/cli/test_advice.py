"""Every option that a message advises is one of the verb that shows the message."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import typer

import likely
from likely.cli import app
from likely.cli.options import Opening, opens_data

ROOT = Path(likely.__file__).parent
COMMANDS = typer.main.get_command(app).commands
OPENING = ("data", "fit", "score", "encode", "reconstruct", "restore", "interpolate", "evaluate", "report")
SHOWN_BY = {
    "data/inference.py": ("data", "fit"),
    "data/description.py": ("data", "fit"),
    "data/patches.py": ("data", "fit"),
    "data/unseen.py": ("score", "encode", "reconstruct", "restore", "evaluate", "report"),
    "data/": OPENING,
    "fitted.py": OPENING[2:],
    "suitability.py": ("fit",),
    "fitting.py": ("fit",),
    "training/": ("fit",),
    "persistence/checkpoints.py": ("fit",),
    "registry/presets.py": ("fit",),
    "cli/learning.py": ("fit",),
    "cli/place.py": ("fit",),
    "cli/judging.py": ("evaluate", "report"),
    "cli/restoring.py": ("restore",),
    "cli/imputing.py": ("restore",),
    "files.py": ("fit", "score", "encode", "reconstruct", "restore", "interpolate", "sample", "evaluate", "report"),
    "cli/targets.py": ("score", "encode", "reconstruct", "restore", "interpolate", "sample", "evaluate", "report"),
}
"""Which verbs show the messages of a file, the more special names first; elsewhere a message names the verb."""

BY_ONE = ("cli/", "report/")
"""Where several verbs live: each of their options is one of some verb."""


def options_of(verb):
    return {name for each in COMMANDS[verb].params for name in each.opts} | {"--help", "--version", "--debug"}


def texts():
    """All text of the code but docstrings, with "{}" where something is filled in: (file, text)."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        inner = set()
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                inner.add(id(body[0].value))
            if isinstance(node, ast.JoinedStr):
                inner |= {id(each) for each in node.values}
                parts = (each.value if isinstance(each, ast.Constant) else "{}" for each in node.values)
                yield path.relative_to(ROOT).as_posix(), "".join(parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                yield path.relative_to(ROOT).as_posix(), node.value


def advised(text):
    return re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)


def verbs_of(file, text):
    """The verbs that have to know the options of a text; None where one that does is enough."""
    if re.search(r"leave .*(out|--)", text) and "leave it out" not in text:
        return None  # it is shown where the option was given
    named = [verb for verb in re.findall(r"likely ([a-z]+)", text) if verb in COMMANDS]
    if named or "fit again with" in text:
        return named or ["fit"]
    for start, verbs in SHOWN_BY.items():
        if file.startswith(start):
            return verbs
    return None if file.startswith(BY_ONE) else ()


def found():
    return [(file, text) for file, text in texts() if advised(text) and not file.startswith("report/charts")]


def test_every_option_that_is_advised_is_one_of_the_verbs_that_advise_it():
    wrong = []
    for file, text in found():
        verbs = verbs_of(file, text)
        if verbs is not None and not verbs:
            wrong.append(f"{file}: {text!r}: say in SHOWN_BY which verbs show it")
        for option in set(advised(text)):
            able = [verb for verb in COMMANDS if option in options_of(verb)]
            lacking = [verb for verb in verbs or [] if verb not in able]
            if lacking or not able:
                wrong.append(f"{file}: {text!r}: {option} is no option of {', '.join(lacking) or 'any verb'}")
    assert not wrong, "\n".join(wrong)


def test_there_are_messages_that_advise():
    files = {file for file, _ in found()}
    assert {"data/inference.py", "data/images.py", "data/cell_kinds.py", "fitting.py"} <= files


@pytest.mark.parametrize("verb", OPENING)
def test_every_verb_that_opens_data_says_how(verb):
    assert {"--label", "--drop", "--size", "--channels", "--missing"} <= options_of(verb)


def test_a_verb_gets_its_options_as_one_argument():
    got = []

    @opens_data
    def verb(source: str, opening: Opening = Opening()) -> None:
        got.append((source, opening.options()))

    verb(source="x", drop=["a", "b"], size="3x4", missing=["NA"])
    assert "opening" not in inspect.signature(verb).parameters
    assert got == [("x", {"label": None, "drop": ("a", "b"), "size": (3, 4), "channels": None, "missing": ("NA",)})]
