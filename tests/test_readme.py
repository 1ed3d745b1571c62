"""What the READMEs show runs, in both languages, and shows the same."""

import re
import shlex
from pathlib import Path

import pytest

from likely.cli import main

pytestmark = pytest.mark.usefixtures("roughly")

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.ko.md")


def blocks(readme: str, language: str) -> list[str]:
    """The fenced blocks of a language, comments in words left out."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [re.sub(r" *#.*", "", block) for block in found]


def test_both_languages_show_the_same_code():
    for language in ("python", "bash"):
        english, korean = (blocks(readme, language) for readme in READMES)
        assert english == korean
        assert english


@pytest.mark.parametrize("number", range(len(blocks("README.md", "python"))))
def test_python_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("README.md", "python")[number], f"README.md, block {number}", "exec"), {})


def test_commands_run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for line in "\n".join(blocks("README.md", "bash")).splitlines():
        monkeypatch.setattr("sys.argv", shlex.split(line))
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, f"{line}: {capfd.readouterr().err}"
    assert (tmp_path / "runs/vae/report.html").exists()


def test_the_table_of_models_is_fresh(monkeypatch):
    from docs import tables

    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    tables.main()
