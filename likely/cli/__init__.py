"""The command line: what `likely` types, says and answers with.

Importing it loads typer and nothing heavier; each verb imports what it needs when it runs.
"""

import sys

from likely.cli import started  # before all that takes time to import

# ruff: isort: split
import typer

from likely.cli.answering import encode, interpolate, reconstruct, sample, score
from likely.cli.judging import evaluate, report
from likely.cli.learning import fit
from likely.cli.looking import data, models
from likely.cli.outcomes import outcome, said
from likely.cli.restoring import restore
from likely.cli.streams import lasting_streams

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
for verb in (data, models, fit, score, encode, reconstruct, restore, interpolate, sample, evaluate, report):
    app.command()(verb)


@app.callback(invoke_without_command=True)
def _likely(
    context: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show where a fault of ours happened (or LIKELY_DEBUG=1)."),
    version: bool = typer.Option(False, "--version", help="Say which version this is."),
) -> None:
    """Learn how likely data is: find the unlikely, restore the likely, make more of it.

    Start with: likely fit digits --model vae --out runs/vae
    """
    if version:
        from likely import __version__

        print(f"likely {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """The `likely` command."""
    with lasting_streams():
        code = said(run(sys.argv[1:]), sys.argv[1:])
    sys.exit(code)


def run(args: list[str]) -> int:
    """Does what `args` say and returns the exit code: 0, 1, 2 or 130."""
    started.begin()
    plain = [each for each in args if each != "--debug"]
    command = typer.main.get_command(app)

    def work() -> None:
        with command.make_context("likely", list(plain), obj=plain) as context:
            command.invoke(context)

    return outcome(work, plain, debug=plain != args)
