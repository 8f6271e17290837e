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
from project.tracking import experiment
from project.training import parallel
from project.training.settings import FINE_TUNING_RATE, Settings


def launch(count: int) -> None:
    """Let `torchrun` start this entry point with the same arguments in so many processes, and wait for their end.

    SystemExit, with its exit code, if one of them fails, which has said why; ChildProcessError if a signal ends one.
    """
    options = ["--standalone", f"--nproc-per-node={count}", "-m", "project.train"]
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
@click.option("--data", required=True, help="Data sets as in project/dataset, separated by commas.")
@click.option("--epochs", required=True, type=click.IntRange(1))
@click.option("--start-from", required=True, help='Nothing, "base", or a version: a number, latest, an alias.')
@click.option("--texts", default="", help="A text file for the language model, beside the training's texts.")
@click.option("--seed", required=True, type=click.IntRange(0))
@click.option(
    "--processes", "count", default=1, type=click.IntRange(1), help="That train together; 1 under `torchrun`."
)
def main(data: str, epochs: int, start_from: str, texts: str, seed: int, count: int) -> None:
    if count > 1 and not torch.distributed.is_torchelastic_launched():
        launch(count)
        return
    cli.detach_from_project_run()
    start = experiment.start_of(start_from)
    shape, rate = (start.shape, FINE_TUNING_RATE) if start else ({}, Settings.learning_rate)
    settings = Settings(seed, epochs, start_from=start_from, texts=texts, learning_rate=rate, **shape)
    known = start.charset.characters if start else ""  # it need not forget what these lines happen not to have
    with parallel.process_group():
        data_set = load_data(*sources.parse_data(data), height=settings.height, seed=seed, characters=known)
        run = experiment.run("train", "How well does it read after a training on these lines?", settings, data_set)
    if run:
        champion = experiment.promote_best([run], data_set)
        print(experiment.summary([run], champion).to_string())
        print(json.dumps({**run.figures, "version": int(run.version.version), "epochs": len(run.history)}))


if __name__ == "__main__":
    cli.run("train", main)
