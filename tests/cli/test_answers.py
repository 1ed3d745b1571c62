import csv
import errno
import os

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import likely as library
from likely.cli.outputs import picture
from tests.cli.conftest import write_table


def read_csv(path):
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")  # Excel takes it for Korean else
    return list(csv.DictReader(data.decode("utf-8-sig").splitlines()))


def test_scores_are_those_of_the_library(table, likely, tmp_path):
    answer = likely("score", "모델", "표.csv", "-o", tmp_path / "s.csv")
    assert answer.code == 0
    lines = read_csv(tmp_path / "s.csv")
    assert list(lines[0]) == ["row", "surprise", "p_value", "is_novel", "reason"]
    source = library.open_source("표.csv", label="병", drop=("번호",))
    scores = library.load("모델").score(source)
    assert [float(line["surprise"]) for line in lines] == scores.surprise.tolist()
    assert [float(line["p_value"]) for line in lines] == scores.p_value.tolist()
    assert [line["is_novel"] == "True" for line in lines] == scores.is_novel.tolist()
    assert f"{scores.is_novel.sum()} of 600 rows" in answer.out
    assert "minus the log-density in nats, exact (=)" in answer.out
    strangest = int(np.argmax(scores.surprise))
    assert f"row {strangest} (" in answer.out


def test_scores_in_every_kind_of_file_are_the_same(table, likely, tmp_path):
    for kind in ("csv", "parquet", "npz"):
        assert likely("score", "모델", "표.csv", "-o", tmp_path / f"s.{kind}").code == 0
    by_csv = [float(line["surprise"]) for line in read_csv(tmp_path / "s.csv")]
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet").column("surprise").to_pylist() == by_csv
    assert np.load(tmp_path / "s.npz")["surprise"].tolist() == by_csv


def test_a_rate_that_cannot_be_held_is_said(table, likely):
    answer = likely("score", "모델", "표.csv", "--false-alarm-rate", "0.0001")
    assert "flagged    0 of 600" in answer.out
    assert "that takes 9999" in " ".join(answer.out.split())


def test_label_and_dropped_columns_need_not_be_there(table, likely, tmp_path):
    lines = (table / "표.csv").read_text("utf-8").splitlines()
    (tmp_path / "new.csv").write_text("\n".join(",".join(line.split(",")[1:6]) for line in lines), "utf-8")
    assert likely("score", "모델", tmp_path / "new.csv", "-o", tmp_path / "a.npz").code == 0
    assert likely("score", "모델", "표.csv", "-o", tmp_path / "b.npz").code == 0
    assert (np.load(tmp_path / "a.npz")["surprise"] == np.load(tmp_path / "b.npz")["surprise"]).all()


def test_other_columns_are_refused_by_name(table, likely, tmp_path):
    text = (table / "표.csv").read_text("utf-8")
    (tmp_path / "new.csv").write_text(text.replace("키", "무게", 1), "utf-8")
    answer = likely("score", "모델", tmp_path / "new.csv")
    assert answer.code == 2
    assert "키" in answer.line or "무게" in answer.line


def test_codes_in_every_kind_of_file(table, likely, tmp_path):
    for kind in ("csv", "parquet", "npz", "npy"):
        assert likely("encode", "모델", "표.csv", "-o", tmp_path / f"z.{kind}").code == 0
    codes = np.load(tmp_path / "z.npy")
    assert codes.shape == (600, 2)
    lines = read_csv(tmp_path / "z.csv")
    assert list(lines[0]) == ["row", "label", "z0", "z1"]
    np.testing.assert_array_equal([[float(line["z0"]), float(line["z1"])] for line in lines], codes)
    assert {line["label"] for line in lines} == {"예", "아니오"}
    held = np.load(tmp_path / "z.npz")
    assert (held["codes"] == codes).all()
    assert held["label"].tolist() == [line["label"] for line in lines]


def test_tables_come_back_as_tables_with_constant_columns(table, likely, tmp_path):
    assert likely("reconstruct", "모델", "표.csv", "-o", tmp_path / "r.csv").code == 0
    lines = read_csv(tmp_path / "r.csv")
    given = list(csv.DictReader((table / "표.csv").read_text("utf-8").splitlines()))
    assert list(lines[0]) == list(given[0])
    for line, known in zip(lines, given, strict=True):  # what the model does not see is as it was
        assert [line[name] for name in ("번호", "언제나", "병")] == [known[name] for name in ("번호", "언제나", "병")]
    assert any(line["키"] != known["키"] for line, known in zip(lines, given, strict=True))
    assert likely("sample", "모델", "-n", 7, "-o", tmp_path / "s.parquet").code == 0
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet").num_rows == 7


def test_samples_follow_the_seed(table, likely, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert likely("sample", "모델", "-n", 3, "--seed", seed, "-o", tmp_path / f"{name}.csv").code == 0
    a, b, c = ((tmp_path / f"{name}.csv").read_bytes() for name in "abc")
    assert a == b != c


def test_images_become_a_folder_of_pictures(digits, likely, tmp_path):
    assert likely("sample", "vae", "-n", 3, "--condition", 7, "-o", tmp_path / "new").code == 0
    assert likely("sample", "vae", "-n", 3, "--condition", 7, "-o", tmp_path / "new.npy").code == 0
    drawn = np.load(tmp_path / "new.npy")
    names = ["0000.png", "0001.png", "0002.png"]
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == [*names, "index.csv"]
    assert read_csv(tmp_path / "new" / "index.csv") == [{"file": name, "label": "7"} for name in names]
    for i, row in enumerate(drawn):
        pixels = np.asarray(Image.open(tmp_path / "new" / f"{i:04d}.png"))
        np.testing.assert_array_equal(pixels, np.rint(row / 16 * 255))


def test_a_condition_is_one_of_those_seen(digits, table, likely, tmp_path):
    answer = likely("sample", digits / "vae", "--condition", "banana", "-o", tmp_path / "a")
    assert answer.code == 2
    assert "'banana' was not seen" in answer.err
    assert "the classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in answer.err
    assert "takes none" in likely("sample", table / "모델", "--condition", "예", "-o", tmp_path / "a.csv").err
    assert not list(tmp_path.iterdir())


def test_the_next_command_of_a_conditional_model_names_a_class(digits):
    from likely.cli.results import next_commands

    assert "likely sample vae -n 64 --condition 0 -o samples" in next_commands(library.load("vae"), "vae", "digits")


def test_several_conditions_are_drawn_by_turns_and_named(digits, likely, tmp_path):
    answer = likely("sample", "vae", "-n", 2, "--condition", 7, "--condition", 3, "-o", tmp_path / "s.npz")
    assert "4 new rows" in answer.out
    drawn = np.load(tmp_path / "s.npz")
    assert drawn["y"].tolist() == ["7", "7", "3", "3"]
    expected = library.load("vae").sample(4, condition=["7", "7", "3", "3"])
    np.testing.assert_array_equal(drawn["X"], expected)
    assert library.open_source(tmp_path / "s.npz").labels.tolist() == ["7", "7", "3", "3"]


def test_a_sampled_table_has_its_labels_under_their_own_name(here, likely):
    write_table(here / "t.csv")
    settings = ("--label", "병", "--drop", "번호", "--condition", "label", "--epochs", 1, "--set", "z_size=2")
    assert likely("fit", "t.csv", "--model", "vae", *settings, "--out", "m").code == 0
    assert likely("sample", "m", "-n", 2, "--condition", "예", "--condition", "아니오", "-o", "s.csv").code == 0
    lines = read_csv(here / "s.csv")
    assert list(lines[0]) == ["키", "b", "c", "d", "언제나", "병"]
    assert [line["병"] for line in lines] == ["예", "예", "아니오", "아니오"]


def test_a_way_between_two_rows_is_that_of_the_library(digits, likely, tmp_path):
    ways = ("interpolate", "vae", "digits", "--rows", 3, 17, "--steps", 4)
    for name in ("way.npy", "way.png", "way"):
        assert likely(*ways, "-o", tmp_path / name).code == 0
    source = library.open_source("digits")
    ends = [library.data.subset.Subset(source, np.array([row])) for row in (3, 17)]
    expected = library.interpolate(library.load("vae"), *ends, 4)
    np.testing.assert_array_equal(np.load(tmp_path / "way.npy"), expected)
    strip = np.asarray(Image.open(tmp_path / "way.png"))
    assert strip.shape == (8, 32)
    for i, row in enumerate(expected):
        pixels = np.asarray(Image.open(tmp_path / "way" / f"{i:04d}.png"))
        np.testing.assert_array_equal(pixels, np.rint(np.clip(row / 16, 0, 1) * 255))
        np.testing.assert_array_equal(strip[:, 8 * i : 8 * i + 8], pixels)


def test_a_way_through_a_table_is_a_table(table, likely, tmp_path):
    assert likely("interpolate", "모델", "표.csv", "--rows", 0, 599, "-o", tmp_path / "way.csv").code == 0
    assert likely("reconstruct", "모델", "표.csv", "-o", tmp_path / "all.csv").code == 0
    way, again = read_csv(tmp_path / "way.csv"), read_csv(tmp_path / "all.csv")
    assert len(way) == 9
    for end, row in ((way[0], again[0]), (way[-1], again[599])):
        assert [float(value) for value in end.values()] == pytest.approx([float(row[name]) for name in end])


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--rows", 0, 600, "-o", "way.csv"), "--rows 600: 표.csv has 600 rows, numbered from 0 to 599"),
        (("--rows", 0, 1, "-o", "way.png"), ".csv, .parquet"),
        (("--rows", 0, 1, "--steps", 1, "-o", "way.csv"), "--steps"),
    ],
)
def test_a_way_that_cannot_be_is_one_line(args, told, table, likely):
    answer = likely("interpolate", "모델", "표.csv", *args)
    assert answer.code == 2
    assert told in answer.line


def test_pictures_of_a_folder_name_their_files(here, likely):
    rng = np.random.default_rng(0)
    (here / "그림").mkdir()
    for i in range(12):
        pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(here / "그림" / f"{i:02d} =cmd.png")
    assert likely("fit", "그림", "--model", "pca", "--set", "z_size=2", "--out", "m").code == 0
    assert likely("reconstruct", "m", "그림", "-o", "r").code == 0
    assert [line["place"] for line in read_csv(here / "r" / "index.csv")] == [f"{i:02d} =cmd.png" for i in range(12)]
    assert Image.open("r/0000.png").size == (6, 4)
    assert likely("score", "m", "그림/03 =cmd.png", "-o", "s.csv").code == 0
    assert read_csv(here / "s.csv")[0]["place"] == "03 =cmd.png"


@pytest.mark.parametrize(
    ("shape", "axis", "mode"), [((3, 4), None, "L"), ((3, 4, 2), -1, "LA"), ((4, 3, 4), 0, "RGBA")]
)
def test_picture_of_each_layout(shape, axis, mode):
    import io

    schema = library.data.Schema("image", shape, "float32", "unit", low=0.0, high=2.0, channel_axis=axis)
    row = np.full(shape, 1.0)
    shown = Image.open(io.BytesIO(picture(row, schema)))
    assert (shown.mode, shown.size) == (mode, (4, 3))
    assert np.asarray(shown).flat[0] == 128


@pytest.mark.parametrize(
    ("verb", "output", "told"),
    [
        ("score", "nowhere/s.csv", "mkdir -p nowhere"),
        ("score", "s.xlsx", ".csv, .parquet, .npz"),
        ("encode", "z", ".npy, .npz, .csv, .parquet"),
        ("reconstruct", "r.npy", ".csv, .parquet"),
        ("sample", "folder", ".csv, .parquet"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_computed(verb, output, told, table, likely):
    rows = [] if verb == "sample" else ["표.csv"]
    before = sorted(os.listdir())
    answer = likely(verb, "모델", *rows, "-o", output)
    assert answer.code == 2
    assert told in answer.line
    assert sorted(os.listdir()) == before


def test_pictures_do_not_mix_with_what_is_there(digits, likely, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert "choose another name" in likely("sample", "vae", "-o", tmp_path).line


def test_a_full_disk_keeps_what_was_there(table, likely, tmp_path, monkeypatch):
    output = tmp_path / "s.csv"
    output.write_text("yesterday")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = likely("score", "모델", "표.csv", "-o", output, "--overwrite")
    assert answer.code == 2
    assert "free some space" in answer.line
    assert output.read_text() == "yesterday"
    assert os.listdir(tmp_path) == ["s.csv"]


@pytest.mark.parametrize("name", ["모델", "missing", "flipped", "pickle"])
def test_a_directory_that_is_no_model_is_one_line(name, table, likely, tmp_path):
    import shutil

    copied = tmp_path / "m"
    if name != "missing":
        shutil.copytree(table / "모델", copied)
    if name == "flipped":
        data = bytearray((copied / "weights.safetensors").read_bytes())
        data[-1] ^= 1
        (copied / "weights.safetensors").write_bytes(data)
    if name == "pickle":
        (copied / "manifest.json").write_bytes(b"\x80\x04\x95")
    answer = likely("score", copied, "표.csv")
    if name == "모델":
        assert answer.code == 0
    else:
        assert answer.code == 2
        assert str(copied) in answer.line


def test_a_table_of_another_machine_is_read_as_that_of_the_fit(table, likely, tmp_path):
    write_table(tmp_path / "cp949.csv")
    (tmp_path / "cp949.csv").write_bytes((tmp_path / "cp949.csv").read_text("utf-8").encode("cp949"))
    assert likely("score", "모델", tmp_path / "cp949.csv").out == likely("score", "모델", "표.csv").out


# What was not there at fit.


@pytest.fixture
def strange(table, tmp_path):
    """Eight rows of the table: one lacks a number, one holds a word, one another constant; a column more."""
    lines = [line.split(",") for line in (table / "표.csv").read_text("utf-8").splitlines()[:9]]
    lines[2][1], lines[4][2], lines[6][5] = "", "soso", "9"
    rows = [[*line, "extra" if i == 0 else "1"] for i, line in enumerate(lines)]
    (tmp_path / "strange.csv").write_text("\n".join(map(",".join, rows)), "utf-8")
    return tmp_path / "strange.csv"


def test_rows_with_what_is_new_are_scored_and_told(strange, likely, tmp_path):
    answer = likely("score", "모델", strange, "-o", tmp_path / "s.csv")
    assert answer.code == 0
    assert answer.line.endswith('has column "extra", which the model was not fitted on: left out')
    lines = read_csv(tmp_path / "s.csv")
    assert {i: line["reason"] for i, line in enumerate(lines) if line["reason"]} == {
        1: 'column "키": no value',
        3: "column \"b\": found 'soso', expected a number",
        5: 'column "언제나": found 9, expected 7, the only value that was there at fit',
    }
    assert [line["is_novel"] for line in lines].count("True") == 3
    assert [i for i, line in enumerate(lines) if line["surprise"] == "inf"] == [1, 3]
    assert "row 5: column" in answer.out


@pytest.mark.parametrize("verb", ["encode", "reconstruct"])
def test_rows_without_an_answer_are_named(strange, likely, tmp_path, verb):
    answer = likely(verb, "모델", strange, "-o", tmp_path / "a.csv")
    assert answer.code == 0
    assert "2 rows are NaN, for the model takes no missing values: row 1, column" in answer.err
    assert len(read_csv(tmp_path / "a.csv")) == 8


@pytest.mark.parametrize("verb", ["score", "encode", "reconstruct", "evaluate"])
def test_strict_refuses_and_lists_all_cells(strange, likely, tmp_path, verb):
    output = tmp_path / ("a.json" if verb == "evaluate" else "a.csv")
    answer = likely(verb, "모델", strange, "-o", output, "--strict")
    assert 'has column "extra", which the model was not fitted on' in answer.line
    assert "; 3 cells differ" in answer.line
    answer = likely(verb, "모델", strange, "-o", output, "--strict", "--drop", "extra")
    assert "extra" not in answer.line
    assert answer.code == 2
    assert not output.exists()
    for told in (
        "3 cells differ from what was there at fit: row 1, column",
        "row 3, column \"b\": found 'soso', expected a number",
        "found 9, expected 7",
    ):
        assert told in answer.line


def test_evaluate_leaves_out_rows_without_an_answer_or_a_label(table, likely, tmp_path):
    generator = np.random.default_rng(5)
    rows = [["번호", "키", "b", "c", "d", "언제나", "병"]]
    rows += [[str(i), *(f"{each:.4f}" for each in generator.normal(3, 2, 4)), "7", "예"] for i in range(60)]
    rows[3][1], rows[9][6] = "", ""
    (tmp_path / "new.csv").write_text("\n".join(map(",".join, rows)), "utf-8")
    answer = likely("evaluate", "모델", tmp_path / "new.csv", "-o", tmp_path / "e.json")
    assert answer.code == 0, answer.err
    assert "2 of 60 rows are left out: they lack values that the model cannot do without, or a label" in " ".join(
        answer.out.split()
    )


def test_labels_that_are_empty_stop_no_score(table, likely, tmp_path):
    lines = (table / "표.csv").read_text("utf-8").splitlines()[:9]
    for n_empty, expected in ((8, None), (3, ["", "", ""])):
        rows = [line.rsplit(",", 1) for line in lines]
        (tmp_path / "new.csv").write_text(
            "\n".join(f"{row[0]},{'' if 0 < i <= n_empty else row[1]}" for i, row in enumerate(rows)), "utf-8"
        )
        assert likely("encode", "모델", tmp_path / "new.csv", "-o", tmp_path / "e.csv", "--overwrite").code == 0
        found = read_csv(tmp_path / "e.csv")
        assert len(found) == 8
        assert ("label" in found[0]) == (expected is not None)
        if expected is not None:
            assert [line["label"] for line in found][:3] == expected
