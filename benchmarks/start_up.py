"""How long one waits before anything happens: the fastest of several processes of their own, in seconds."""

import subprocess
import sys
import time

from benchmarks.data import say

COMMANDS = {
    "python": "pass",
    "import likely": "import likely",
    "likely --help": "import sys; sys.argv = ['likely', '--help']; import likely.cli; likely.cli.main()",
    "import torch": "import torch",
}
N_RUNS = 7


def seconds(code: str) -> float:
    """Of one process that runs `code`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Every command, less the interpreter's own start."""
    fastest = {name: min(seconds(code) for _ in range(N_RUNS)) for name, code in COMMANDS.items()}
    bare = fastest.pop("python")
    for name, total in fastest.items():
        say(case=name, seconds=round(total, 3), without_python=round(total - bare, 3))


if __name__ == "__main__":
    main()
