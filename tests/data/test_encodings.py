"""Encodings: what a file's letters say they are, short files too, and the guess told."""

import codecs

import pytest

from likely.data import infer_schema, open_source
from likely.data.encoding_guess import guess_encoding
from likely.data.encodings import read_text
from likely.errors import DataError

SHORT = {
    "cp949": ["도시,인구\n서울,1\n부산,2\n", "성별\n남\n여\n", "꽃,꿀,뿌리\n", "이상치\n", "홍길동\n"],
    "cp932": ["市,人口\n東京,1\n大阪,2\n", "りんご\n", "ボルト,1\n", "性別\n男\n女\n", "温度,湿度\n", "田中\n"],
    "euc_jp": ["都市は\n東京\n", "りんご,1\n", "ボルト,1\n"],
    "gb18030": ["城市,人口\n北京,1\n上海,2\n", "姓名\n张三\n李四\n", "性别\n男\n女\n", "温度,湿度\n", "日期,销量\n"],
    "cp950": ["城市\n台北\n高雄\n", "性別\n男\n女\n", "溫度,濕度\n", "產品,價格\n", "縣市\n桃園\n"],
    "cp1252": ["Müller,1\n", "prénom,âge\n", "temp °C,x\n", "5 €\n", "São Paulo\n", "rue “x”\n", "Größe\n"],
    "cp1251": ["имя,возраст\nИван,1\n", "город\nМосква\n"],
    "koi8_r": ["имя,возраст\nИван,1\n"],
    "cp1250": ["miasto\nŁódź\nGdańsk\n"],
    "cp1253": ["πόλη\nΑθήνα\n"],
    "cp1254": ["şehir\nİzmir\nMuğla\n"],
}  # fmt: skip


@pytest.mark.parametrize(("encoding", "text"), [(key, text) for key, texts in SHORT.items() for text in texts])
def test_short_texts_of_many_languages(encoding, text):
    content = text.encode(encoding)
    guess = guess_encoding(content)
    assert guess is not None
    assert content.decode(guess) == text


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00", bytes(range(128, 256))])
def test_what_is_no_text_is_none(content):
    assert guess_encoding(content) is None


def _write(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    return tmp_path / "a.csv"


MARKED = [
    codecs.BOM_UTF8 + "이름\n가\n".encode(),
    codecs.BOM_UTF16_LE + "이름\n가\n".encode("utf-16-le"),
    codecs.BOM_UTF16_BE + "이름\n가\n".encode("utf-16-be"),
    codecs.BOM_UTF32_LE + "이름\n가\n".encode("utf-32-le"),
]


@pytest.mark.parametrize("content", MARKED)
def test_a_mark_at_the_beginning_says_the_encoding(content, tmp_path):
    source = open_source(_write(tmp_path, content))
    assert source.table.to_pydict() == {"이름": ["가"]}
    assert source.notes == ()


def test_a_guess_is_told_and_kept(tmp_path):
    source = open_source(_write(tmp_path, "지역,v\n서울,1\n부산,2\n".encode("cp949")))
    assert source.notes == ("read as CP949 (Korean), which is a guess: if letters are wrong, save it in UTF-8",)
    assert infer_schema(source).reading.encoding == "cp949"


def test_what_earlier_files_were_in_is_likelier():
    assert guess_encoding("뷁\n".encode("cp949")) != "cp949"
    doubtful = "캜\n".encode("cp949")
    assert guess_encoding(doubtful) != guess_encoding(doubtful, "cp950")


def test_a_few_broken_bytes_in_utf_8_are_named(tmp_path):
    lines = ["지역"] + ["서울"] * 40
    content = "\n".join(lines).encode().replace(b"\n", b"\xff\n", 3)
    with pytest.raises(DataError, match=r"lines 1, 2, 3: found bytes that are no UTF-8, as all others are"):
        open_source(_write(tmp_path, content))


def test_bytes_that_end_a_guess_are_named(tmp_path):
    content = b"x\n" * 3 + "서울,부산,대구\n".encode("cp949") * 10_000 + b"\xff\xff\n"
    with pytest.raises(DataError, match=r"line 10004: found bytes that are no CP949"):
        open_source(_write(tmp_path, content))


def test_a_long_line_of_ascii_takes_no_longer_than_it_is_long(tmp_path):
    """A pattern that looks back would take minutes here."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"x" * 400_000 + b",1\n" + "김,2\n".encode("cp949"))
    assert read_text(path, "t.csv").encoding == "cp949"
