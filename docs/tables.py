"""Writes the table of models into both READMEs; with --check says whether it is as it should be."""

import re
import sys
from pathlib import Path

from likely.cli.looking import models_as_markdown

READMES = ("README.md", "README.ko.md")
PLACE = re.compile(r"(<!-- models:[^\n]*-->\n).*?(<!-- /models -->)", re.DOTALL)


def main() -> None:
    """Both READMEs, in place."""
    for name in READMES:
        path = Path(__file__).parent.parent / name
        text = path.read_text(encoding="utf-8")
        made = PLACE.sub(lambda found: f"{found[1]}{models_as_markdown()}\n{found[2]}", text)
        if "--check" in sys.argv and made != text:
            sys.exit(f"the table of models in {name} is stale: run make readme")
        path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
