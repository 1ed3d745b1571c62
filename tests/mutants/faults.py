"""What a deliberate fault is, and how files of them are read."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


@dataclass(frozen=True)
class Fault:
    """A line or two of the house, broken on purpose.

    Attributes:
        name: what is broken, in words.
        file: where, below the root.
        old: the text as it is; it stands exactly once in the file.
        new: the broken text.
        tests: pytest's arguments, each for a run of its own; one of the runs has to fail.
        room: the name of the file of faults that it stands in.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    room: str

    def broken(self, text: str) -> str:
        """The file's text with the fault in it. Raises ValueError where `old` does not stand there exactly once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: its old text stands {text.count(self.old)} times in {self.file}, not once")
        return text.replace(self.old, self.new)


def read_faults(folder: Path = FOLDER) -> list[Fault]:
    """All faults of all files `<room>.toml`, in their order."""
    return [
        Fault(entry["name"], entry["file"], entry["old"], entry["new"], tuple(entry["tests"]), path.stem)
        for path in sorted(folder.glob("*.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["fault"]
    ]


def chosen(faults: list[Fault], words: list[str]) -> list[Fault]:
    """Those whose room, file or name holds one of the words; all where there are no words."""
    if not words:
        return faults
    return [fault for fault in faults if any(word in f"{fault.room} {fault.file} {fault.name}" for word in words)]
