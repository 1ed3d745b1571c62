"""The main job on data that is always there: two models of scikit-learn's digits, put to every use.

Run it with `make demo`. Each line that starts with $ is a command to try on data of one's own.
"""

import shlex
import subprocess
import sys
from pathlib import Path

RUNS = Path("runs")
MODELS = ("vae", "autoencoder")


def say(command: str) -> None:
    """Prints a command and runs it; a command that fails ends the demo with its exit code."""
    print(f"\n$ {command}", flush=True)
    # The interpreter at hand, so that the demo does not depend on what is on the PATH.
    outcome = subprocess.run([sys.executable, "-m", "likely.cli", *shlex.split(command)[1:]], check=False)
    if outcome.returncode:
        sys.exit(outcome.returncode)


def main() -> None:
    """Fits, scores, encodes, reconstructs and samples; a second run finds the fits done."""
    for model in MODELS:
        run = RUNS / f"digits-{model}"
        Path(f"{run}-uses").mkdir(parents=True, exist_ok=True)
        say(f"likely fit digits --model {model} --out {run} --resume")
        say(f"likely score {run} digits -o {run}-uses/scores.csv")
        say(f"likely encode {run} digits -o {run}-uses/codes.npy")
        say(f"likely reconstruct {run} digits -o {run}-uses/reconstructions.npy")
    say(f"likely sample {RUNS / 'digits-vae'} -n 64 -o {RUNS / 'digits-vae-uses'}/samples")
    print("\nThe reports, to open in a browser:")
    for model in MODELS:
        print(f"  {(RUNS / f'digits-{model}' / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
