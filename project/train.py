"""Entry point `train`: one training run on any data, in one process or several."""

import json
import sys

import click
import torch.distributed
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from project import cli
from project.data import sources
from project.data.dataset import load_data
from project.tracking import experiment, registry
from project.training import parallel
from project.training.settings import Settings


def launch(processes: int) -> None:
    """Let `torchrun` start this command with the same arguments in so many processes, and wait for their end.

    Raise SystemExit, with its exit code, if one of them fails, which has said why; ChildProcessError if a signal ends
    one.
    """
    options = ["--standalone", f"--nproc-per-node={processes}", "-m", "project.train"]
    try:
        torchrun.run(torchrun.parse_args([*options, *sys.argv[1:]]))
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise ChildProcessError(f"process {number} was ended by {failure.signal_name()}") from error
        sys.exit(failure.exitcode)
    except SignalException as error:
        raise KeyboardInterrupt from error


@click.command()
@click.option(
    "--data", type=cli.Data(), required=True, help="Data sets as in project/docs/data.md, separated by commas."
)
@click.option("--epochs", required=True, type=click.IntRange(1))
@click.option("--start-from", required=True, help=registry.START_HELP)
@click.option("--texts", type=cli.FullPath(), default="", help="A text file, or a folder of one a language.")
@click.option("--seed", required=True, type=click.IntRange(0))
@click.option("--processes", default=1, type=click.IntRange(1), help="That train together; 1 under `torchrun`.")
@click.option("--checkpoints", default="local", type=click.Choice(experiment.CHECKPOINTS), help="Of each epoch.")
def main(data: str, epochs: int, start_from: str, texts: str, seed: int, processes: int, checkpoints: str) -> None:
    if processes > 1 and not torch.distributed.is_torchelastic_launched():
        launch(processes)
        return
    cli.detach_from_project_run()
    start = registry.load_start(start_from)
    settings = Settings(seed, epochs, start_from=start_from, texts=texts, **experiment.settings_of(start))
    known = start.charset.characters if start else ""  # it need not forget what these lines happen not to have
    with parallel.process_group():
        data_set = load_data(*sources.parse_data(data), height=settings.height, seed=seed, characters=known)
        question = "How well does it read after a training on these lines?"
        run = experiment.run("train", question, settings, data_set, start, checkpoints)
    if run:
        champion = experiment.promote_best([run], data_set)
        print(experiment.summary([run], champion).to_string())
        print(json.dumps({**run.metrics, "version": int(run.version.version), "epochs": len(run.history)}))


if __name__ == "__main__":
    cli.run("train", main)
