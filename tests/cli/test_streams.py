"""Whatever becomes of what is said, the work is done, and nothing that is said commands a terminal."""

import csv
import io
import os
import pty
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from likely.cli import screen
from likely.cli.outcomes import said
from likely.cli.streams import Canvas, lasting
from likely.errors import DataError, printable, quoted, quoted_path

ROOT = Path(__file__).parents[2]
MAIN = "from likely.cli import main; main()"
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no terminal and no page may get to see; lines end with a line feed."""


def main(*args: str, redirected: str = "", shell: str = "sh", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as a shell starts it."""
    words = [sys.executable, "-c", MAIN, *args]
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    line = [shell, "-c", f'"$@" {redirected}', "sh", *words]
    return subprocess.run(line, capture_output=True, env=known, timeout=120, check=False)


@pytest.mark.parametrize("redirected", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", ">&- 2>/dev/full"])
def test_streams_that_are_closed_or_full_change_nothing_but_what_is_read(redirected):
    done = main("--version", redirected=redirected)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"likely" in done.stdout) == (">&-" not in redirected.replace("2>&-", ""))


def test_a_reader_who_has_had_enough_ends_it_silently_and_well():
    done = main("--help", redirected="| head -n 1; exit ${PIPESTATUS[0]}", shell="bash")
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_answer_is_written_where_nobody_listens(table, tmp_path):
    done = main("score", "모델", "표.csv", "-o", str(tmp_path / "s.csv"), redirected=">/dev/full 2>&-")
    assert done.returncode == 0
    assert len((tmp_path / "s.csv").read_text("utf-8-sig").splitlines()) == 601
    done = main("score", "모델", "표.csv", redirected=">/dev/full")
    assert done.returncode == 2  # the words were the answer
    assert b"could not be written: No space left" in done.stderr


def test_descriptors_of_closed_streams_go_to_no_file_of_ours(tmp_path):
    script = (
        "import os, sys\nfrom likely.cli.streams import lasting_streams\n"
        "with lasting_streams():\n"
        f"    file = open({str(tmp_path / 'answer')!r}, 'wb', buffering=0)\n"
        "    print('words'); print('more', file=sys.stderr); os.write(1, b'from C'); os.write(2, b'from C')\n"
        "    file.write(b'the answer')\n"
    )
    subprocess.run(["sh", "-c", '"$@" >&- 2>&- <&-', "sh", sys.executable, "-c", script], check=True, cwd=ROOT)
    assert (tmp_path / "answer").read_bytes() == b"the answer"


class Broken(io.RawIOBase):
    def __init__(self, error):
        self.error, self.n_asked = error, 0

    def writable(self):
        return True

    def write(self, data):
        self.n_asked += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(BrokenPipeError(32, "Broken pipe"), 0, ""), (OSError(5, "Input/output error"), 2, "Input/output error")],
)
def test_a_stream_that_breaks_is_asked_once_and_told_at_the_end(error, code, told, monkeypatch, capsys):
    raw = Broken(error)
    stream = lasting(io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8"))
    monkeypatch.setattr("sys.stdout", stream)
    for _ in range(3):
        print("x" * 100_000, flush=True)
    assert raw.n_asked == 1
    assert said(0, ["models"]) == code
    assert said(130, ["models"]) == 130
    assert said(0, ["encode", "m", "x", "-o", "y"]) == 0
    assert told in capsys.readouterr().err


def test_a_pipe_that_does_not_wait_gets_everything():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb") as ours, open(writer, "w", encoding="utf-8") as theirs:
        lines = subprocess.Popen(["wc", "-c"], stdin=ours, stdout=subprocess.PIPE)
        stream = lasting(theirs)
        for _ in range(100):
            print("x" * 9_999, file=stream)
        stream.flush()
    assert lines.communicate()[0].strip() == b"1000000"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "번호 é ✓ ± 😀 ½\n"),
        ("cp949", "번호 e x ± \\U0001f600 ½\n"),
        ("latin-1", "\\ubc88\\ud638 é x ± \\U0001f600 ½\n"),
        ("cp1252", "\\ubc88\\ud638 é x ± \\U0001f600 ½\n"),
        ("ascii", "\\ubc88\\ud638 e x +- \\U0001f600 \\xbd\n"),
    ],
)
def test_letters_that_an_encoding_lacks_are_replaced(encoding, shown):
    raw = io.BytesIO()
    stream = lasting(io.TextIOWrapper(raw, encoding=encoding, errors="strict"))
    print("번호 é ✓ ± 😀 ½", file=stream, flush=True)
    assert raw.getvalue().decode(encoding) == shown


def test_control_codes_are_written_out_but_for_those_who_draw():
    raw = io.BytesIO()
    stream = lasting(io.TextIOWrapper(raw, encoding="utf-8"))
    print("\x1b[31m\u202ea\x85b\udc80\r", file=stream)
    Canvas(stream).write("\x1b[1mbold\n")
    stream.flush()
    assert raw.getvalue().decode() == "\\x1b[31m\\u202ea\\x85b\\udc80\\r\n\x1b[1mbold\n"


def test_a_terminal_gets_colors_of_ours_and_none_of_a_name(tmp_path):
    name = "[link=http:x]\x1b[5m\u202e.csv"
    (tmp_path / name).write_text("a,b\x1b[5m\n" + "".join(f"{i % 7},{i * i % 11}\n" for i in range(50)))
    leader, follower = pty.openpty()
    known = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "90"}
    words = [sys.executable, "-c", MAIN, "data", str(tmp_path / name)]
    with subprocess.Popen(words, stdout=follower, stderr=follower, env=known):
        os.close(follower)
        seen = b""
        while True:
            try:
                seen += os.read(leader, 2**16)
            except OSError:
                break
    os.close(leader)
    text = seen.decode()
    assert "\x1b[1m" in text
    assert "\x1b[5m" not in text
    assert "\x1b]8" not in text
    assert "\u202e" not in text
    assert "[link=http:x]\\x1b[5m\\u202e.csv" in text.replace("\r\n", "")


@pytest.mark.parametrize("columns", ["0", "1", "-3", "x", "100000"])
def test_a_terminal_of_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    screen.facts([("name", "word " * 30)])
    assert max(map(len, capsys.readouterr().out.splitlines())) in range(screen.MIN_WIDTH - 10, screen.MAX_WIDTH + 1)


@pytest.mark.parametrize(
    "word", ["plain", "two words", "it's", "-o", "\x1b[2J", "a\nb", "\u202ex'\\", "\udcff", "~", "키 é"]
)
def test_quoted_words_are_one_printable_line_that_a_shell_reads_back(word):
    text = quoted(word)
    assert text.isprintable()
    shown = subprocess.run(
        ["bash", "-c", f"printf %s {text}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert os.fsdecode(shown.stdout) == word
    assert quoted_path("-o") == "./-o"


def test_errors_are_printable_in_python_too():
    assert str(DataError("no \x1b[2J\u2028 in\ntwo lines")) == "no \\x1b[2J\\u2028 in\ntwo lines"
    assert printable("می\u200cخواهم 👩\u200d🔬") == "می\u200cخواهم 👩\u200d🔬"


class Live(HTMLParser):
    """What a page would run or open."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "img", "iframe", "object", "b"):
            self.found += [(tag, attributes)] if not dict(attributes).get("src", "").startswith("data:image") else []
        for name, value in attributes:
            if name.startswith("on") or (name in ("href", "src") and not str(value).startswith(("#", "data:image"))):
                self.found.append((tag, name, value))


EVIL = ["<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "a|b `c` ``d $e$", "\x1b[31mred", "\u202egnp"]
EVIL += ["**b** _i_ ~s~", "https://example.org/x www.example.org a@example.org", "&lt;b&gt; \\<b>", "\u2028"]


def test_names_of_files_columns_and_classes_are_dead_letters_everywhere(here, likely):
    name = "[x](javascript:1)<b>|`\x1b[2J\u202e.csv"
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*EVIL, "<b>y"])
        writer.writerows(
            [[i % 7 + 0.1 * j * (i % (3 + j)) for j in range(len(EVIL))] + [EVIL[i % 5]] for i in range(90)]
        )
    answers = [likely("fit", name, "--model", "ppca", "--label", "<b>y", "--out", "m\x1b[2J")]
    answers += [likely("data", name), likely("score", "m\x1b[2J", name), likely("score", "m\x1b[2J", "\x1b[2J\r.csv")]
    answers += [likely("score", "m\x1b[2J", name, "-o", "no\x1b[2J/x.csv"), likely("models", "\x1b[2J")]
    assert [answer.code for answer in answers] == [0, 0, 0, 2, 2, 2], answers[0].err
    for answer in answers:
        assert not COMMANDS.search(answer.out + answer.err)
    page = Path("m\x1b[2J", "report.html").read_text("utf-8")
    live = Live()
    live.feed(page)
    assert live.found == []
    assert not COMMANDS.search(page)
    card = Path("m\x1b[2J", "README.md").read_text("utf-8")
    assert not COMMANDS.search(card)
    prose = re.sub(r"```.*?```|(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", card, flags=re.DOTALL)
    for active in (
        r"(?<!\\)<[a-z]",
        r"(?<!\\)\[",
        r"(?<!\\)\*",
        r"[^\\]://",
        r"www\.",
        r"(?<!\\)@",
        r"&lt;",
        r"(?<!\\)`",
    ):
        assert not re.search(active, prose), active
