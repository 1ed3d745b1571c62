"""Which encoding a text file is in, and its text as UTF-8 that can be read block by block."""

import codecs
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from likely.errors import DataError

BLOCK_BYTES = 2**22
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

    def open(self) -> pa.NativeFile:
        """The text from its beginning; a mark of UTF-8 may stand before it."""
        # Arrow's own memory and files: its last reader may be a thread that outlives the interpreter, and then
        # letting go of Python's would abort the process (apache/arrow#34314).
        return pa.OSFile(str(self.source)) if isinstance(self.source, Path) else pa.BufferReader(self.source)

    def lines(self) -> io.TextIOWrapper:
        """The same for Python, without the mark; every line ends in a line feed, whatever it ends in there."""
        return io.TextIOWrapper(self.open(), "utf-8-sig", newline=None)


def read_text(path: Path, name: str) -> Text:
    """Finds out the encoding of a file: by its mark, UTF-8 where all of it is, else by a guess.

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
    return decoded(content, name)


def decoded(content: bytes, name: str) -> Text:
    """As `read_text`, of bytes."""
    encoding, guessed = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), ""), False
    if not encoding:
        encoding, guessed = _encoding(content, name)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}, line {line}: found bytes that are no {encoding}; save it in UTF-8 again") from None
    if "\0" in text:
        raise _nul(name, _line_of(text, text.index("\0")))
    sink = pa.BufferOutputStream()
    sink.write(text.removeprefix("\ufeff").encode("utf-8"))
    return Text(sink.getvalue(), encoding, guessed, '"' in text)


def _encoding(content: bytes, name: str) -> tuple[str, bool]:
    for encoding in ("utf-8-sig", "cp949"):
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding, encoding != "utf-8-sig"
    raise DataError(f"{name} is neither UTF-8 nor CP949; save it as CSV in UTF-8")


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


def _line_of(text: str, at: int) -> int:
    return 1 + (text.count("\n", 0, at) or text.count("\r", 0, at))


def _nul(name: str, line: int) -> DataError:
    return DataError(f"{name}, line {line}: found a NUL byte, expected text; save it as text in UTF-8")
