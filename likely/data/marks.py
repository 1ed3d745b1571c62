"""How numbers are written in text: the mark of decimals, what stands between thousands, and a unit."""

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

CURRENCIES = "$€£¥₩￥￦₹원円元"
UNITS = "%" + CURRENCIES
BLANKS = "\u0020\u00a0\u2009\u202f"
"""What stands between thousands where that is a blank."""


@dataclass(frozen=True)
class Marks:
    """How the numbers of a column are written; as programs write them by default."""

    decimal: str = "."
    """ "." or ","."""
    thousands: str = ""
    """What stands between thousands: "," or "." or " " or "'"; "" where nothing does."""
    unit: str = ""
    """ "%" or a currency, before or after the number; "" where there is none."""

    @property
    def plain(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self == Marks()

    def told(self) -> str:
        """In words, such as "numbers with a decimal comma and %"; "" of plain numbers."""
        thousands = {"": "", " ": "blanks", "'": "apostrophes", ",": "commas", ".": "points"}[self.thousands]
        parts = ["a decimal comma"] if self.decimal == "," else []
        parts += [f"{thousands} between thousands"] if thousands else []
        parts += [f"the unit {self.unit}"] if self.unit else []
        last = " and ".join(parts[-2:])
        return f"numbers with {', '.join([*parts[:-2], last])}" if parts else ""

    def pattern(self) -> str:
        """A regular expression of a number written so, blanks around it left out; the unit of % has to be there."""
        between = _class_of(self.thousands)
        grouped = f"[1-9][0-9]{{0,2}}(?:{between}[0-9]{{3}})+|" if between else ""
        digits = f"(?:{grouped}[0-9]+)(?:[{self.decimal}][0-9]*)?|[{self.decimal}][0-9]+"
        number = f"(?:{digits})(?:[eE][+-]?[0-9]+)?"
        if self.unit == "%":
            return rf"^(?:[+\-−]?{number}[ {BLANKS}]?%|0+(?:[{self.decimal}]0*)?)$"
        if self.unit:
            unit = re.escape(self.unit)
            return rf"^[+\-−]?(?:{unit}[ {BLANKS}]?)?[+\-−]?{number}(?:[ {BLANKS}]?{unit})?$"
        return rf"^[+\-−]?{number}$"

    def may_occur(self, text: pa.Array | pa.ChunkedArray) -> bool:
        """Whether what stands between thousands is in any cell."""
        signs = {"": "", " ": BLANKS, "'": "'’"}.get(self.thousands, self.thousands)
        return not signs or any(pc.any(pc.match_substring(text, sign)).as_py() for sign in signs)

    def match(self, text: pa.Array | pa.ChunkedArray) -> pa.BooleanArray:
        """Which cells, without blanks around them, are numbers written so; null stays."""
        return pc.match_substring_regex(text, self.pattern())

    def plainly(self, text: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Cells that match as programs write them: "-1234.5"."""
        away = _class_of(self.thousands) + (f"|[{re.escape(self.unit)}{BLANKS}]" if self.unit else "")
        text = pc.replace_substring_regex(text, away.strip("|"), "") if away.strip("|") else text
        text = pc.replace_substring(text, "−", "-")
        return text if self.decimal == "." else pc.replace_substring(text, self.decimal, ".")


def _class_of(thousands: str) -> str:
    return {"": "", " ": f"[{BLANKS}]", "'": "['’]"}.get(thousands, f"[{thousands}]")


WAYS = (
    Marks(),
    Marks(","),
    Marks(".", ","),
    Marks(",", "."),
    Marks(".", " "),
    Marks(",", " "),
    Marks(".", "'"),
    Marks(",", "'"),
)
"""All that are known, without units."""
