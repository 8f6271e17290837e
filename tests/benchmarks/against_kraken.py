"""The recogniser and kraken side by side: the same lines, the same threads, the same minutes, one after the other.

    python -m tests.benchmarks.against_kraken --data ../shared/data/bench-synthetic --minutes 8 --threads 2 \
        --kraken-env ../kraken-venv

kraken is installed into an environment of its own, in the folder `--kraken-env`, unless it is there already (5 GB,
several minutes). What each is trained with: tests/benchmarks/training.py, tests/benchmarks/kraken_side.py. CER is of
the validation split, the lowest of ours, the last of kraken's, as kraken counts it; inference is the whole path from
the picture to text, on the test split, 16 lines at a time. Prints a table, then one line of JSON; the
ratios are ours over kraken's.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import click
import pandas as pd
from PIL import Image

from project.data.rows import SPLITS, of_split
from project.recognition.image import read_image
from tests.rows import read_data_set

KRAKEN = "kraken==7.1.1"
ROOT = Path(__file__).parents[2]
SEED = 1  # of the training, and of splits that the data set does not give


def kraken_python(folder: Path) -> Path:
    """The Python of an environment with kraken, made in `folder` if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / "bin" / "ketos").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", KRAKEN], check=True)
    return python


def write_lines(rows: pd.DataFrame, folder: Path) -> None:
    """Each row as `number.png` and `number.gt.txt`, as kraken takes them."""
    folder.mkdir()
    for number, row in enumerate(rows[rows["text"] != ""].itertuples()):
        Image.fromarray(read_image(row.image)).save(folder / f"{number:06}.png", compress_level=1)
        (folder / f"{number:06}.gt.txt").write_text(row.text, "utf-8")


def figures_of(command: list, threads: int) -> dict:
    """The JSON in the last line that the command prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    ran = subprocess.run([*map(str, command)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


@click.command()
@click.option("--data", required=True, help="A data set as in project/docs/data.md.")
@click.option("--minutes", default=8.0, type=click.FloatRange(min=0, min_open=True), help="Of training, for each.")
@click.option("--threads", default=2, type=click.IntRange(1))
@click.option("--kraken-env", default=None, type=click.Path(path_type=Path), help="Folder; else a temporary one.")
def main(data: str, minutes: float, threads: int, kraken_env: Path | None) -> None:
    rows = read_data_set(data, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        for split in SPLITS:
            write_lines(of_split(rows, split), Path(folder, split))
        python = kraken_python((kraken_env or Path(folder, "kraken")).resolve())
        side = Path(__file__).with_name("kraken_side.py")
        kraken = figures_of([python, side, folder, minutes, threads], threads)

    options = ["--data", Path(data).resolve() if Path(data).exists() else data, "--threads", threads]
    training = [sys.executable, "-m", "tests.benchmarks.training", *options, "--minutes", minutes, "--seed", SEED]
    ours = figures_of(training, threads)
    reading = figures_of(
        [sys.executable, "-m", "tests.benchmarks.inference", *options, "--engine", "onnxruntime"], threads
    )
    ours["inference_lines_per_s"] = reading["lines_per_s"]

    print(f"{KRAKEN}: {kraken['parameters']} parameters; {kraken['settings']}; {kraken['epochs']} epochs")
    columns = ("train_lines_per_s", "val_cer", "inference_lines_per_s", "peak_rss_mb")
    print(f"{'':8}", *(f"{column:>22}" for column in columns))
    for name, figures in (("ours", ours), ("kraken", kraken)):
        print(f"{name:8}", *(f"{figures[column]:22}" for column in columns))
    figures = {
        f"{side}_{column}": own[column] for side, own in (("ours", ours), ("kraken", kraken)) for column in columns
    }
    figures["train_ratio"] = round(ours["train_lines_per_s"] / kraken["train_lines_per_s"], 1)
    figures["inference_ratio"] = round(ours["inference_lines_per_s"] / kraken["inference_lines_per_s"], 1)
    print(json.dumps(figures | {"minutes": minutes, "threads": threads}))


if __name__ == "__main__":
    main()
