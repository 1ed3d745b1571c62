"""Which encoding a text file is in, and its text as UTF-8 that can be read block by block."""

import codecs
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from likely.data.encoding_guess import NAMES, guess_encoding
from likely.errors import DataError

BLOCK_BYTES = 2**22
_BAD, _FEW_BAD = "\ufffd", 0.1
"""What stands for bytes that are no UTF-8; where they are few among letters that are, the file is damaged UTF-8."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What stands at the beginning of files that say their encoding; that of 32 bits begins as that of 16."""


@dataclass(frozen=True)
class Text:
    """The text of a file as UTF-8.

    Attributes:
        source: its path where the file is UTF-8 already, else its text.
        encoding: of the file, as Python calls it.
        guessed: whether the encoding is a guess.
        quoted: whether there is a quote in it.
    """

    source: Path | pa.Buffer
    encoding: str
    guessed: bool
    quoted: bool

    @property
    def n_bytes(self) -> int:
        """How large it is."""
        return self.source.stat().st_size if isinstance(self.source, Path) else int(self.source.size)

    def open(self) -> pa.NativeFile:
        """The text from its beginning; a mark of UTF-8 may stand before it."""
        # Arrow's own memory and files: its last reader may be a thread that outlives the interpreter, and then
        # letting go of Python's would abort the process (apache/arrow#34314).
        return pa.OSFile(os.fsencode(self.source)) if isinstance(self.source, Path) else pa.BufferReader(self.source)

    def lines(self) -> io.TextIOWrapper:
        """The same for Python, without the mark; every line ends in a line feed, whatever it ends in there."""
        return io.TextIOWrapper(self.open(), "utf-8-sig", newline=None)


def read_text(path: Path, name: str, usual: str = "") -> Text:
    """Finds out the encoding of a file: by its mark, UTF-8 where all of it is, else by a guess.

    Args:
        path: the file.
        name: what the user typed.
        usual: the encoding that such files were in before, which is the likelier one where it fits.

    Raises:
        DataError: if it cannot be read, holds a NUL byte, or is in no encoding that is known.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
            file.seek(0)
            if marked is None and (quoted := _quoted_if_utf8(file, name)) is not None:
                return Text(path, "utf-8", False, quoted)
            file.seek(0)
            content = file.read()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    return decoded(content, name, usual)


def decoded(content: bytes, name: str, usual: str = "") -> Text:
    """As `read_text`, of bytes."""
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "")
    guessed = False
    if not encoding:
        encoding, guessed = _encoding(content, name, usual)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + _breaks(content[: error.start])
        raise DataError(f"{name}, line {line}: found bytes that are no {NAMES[encoding]}; save it in UTF-8") from None
    if "\0" in text:
        raise _nul(name, 1 + _breaks(text[: text.index("\0")].encode("utf-8", "replace")))
    sink = pa.BufferOutputStream()
    sink.write(text.removeprefix("\ufeff").encode("utf-8", "replace"))
    return Text(sink.getvalue(), encoding, guessed, '"' in text)


def _encoding(content: bytes, name: str, usual: str) -> tuple[str, bool]:
    """An encoding, and whether it is a guess."""
    text = content.decode("utf-8", "replace")
    n_bad = text.count(_BAD)
    if not n_bad:
        return "utf-8", False
    if n_bad <= _FEW_BAD * sum(1 for letter in text if letter > "\x7f"):
        lines = [i for i, line in enumerate(text.splitlines(), 1) if _BAD in line]
        shown = ", ".join(map(str, lines[:10])) + (f" and {len(lines) - 10:,} more" if len(lines) > 10 else "")
        which = "line" if len(lines) == 1 else "lines"
        raise DataError(f"{name}, {which} {shown}: found bytes that are no UTF-8, as all others are; mend the {which}")
    guess = guess_encoding(content, usual)
    if guess is None:
        known = "UTF-8, CP949, Shift-JIS, GB18030, Big5, Windows-1252"
        raise DataError(f"{name} is no text in an encoding that is known ({known} and others); save it in UTF-8")
    return guess, True


def _quoted_if_utf8(file: BinaryIO, name: str) -> bool | None:
    """Whether there is a quote in a file; None where it is not UTF-8. Goes once through it, in little memory."""
    decoder, quoted, line = codecs.getincrementaldecoder("utf-8")(), False, 1
    while block := file.read(BLOCK_BYTES):
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            return None
        if (at := block.find(b"\0")) >= 0:
            raise _nul(name, line + _breaks(block[:at]))
        quoted = quoted or b'"' in block
        line += _breaks(block)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return quoted


def _breaks(block: bytes) -> int:
    return block.count(b"\n") or block.count(b"\r")


def _nul(name: str, line: int) -> DataError:
    return DataError(f"{name}, line {line}: found a NUL byte, expected text; save it as text in UTF-8")
