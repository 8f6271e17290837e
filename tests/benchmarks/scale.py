"""How time and memory grow with the data: training (one epoch) and transcribing, and what a second process brings.

    python -m tests.benchmarks.scale --data ../shared/data/bench-synthetic --sizes 1000,10000,100000 --threads 2

Each measurement is a child process of its own, on the lines of the data set's training split, repeated; the validation
and the test split have 100 lines at every size. The peak memory is that of the child with all its own children, RSS
added up, looked at ten times a second. `seconds` is all of the child's life; a training's lines/s are those of its
epoch, without the decoding of the pictures before it, and Spark's count its start.

Prints a row a measurement, then one line of JSON: memory and time per line of the largest size against the smallest;
the speed of 2 training processes, of 2 processes that transcribe (`loop`) and of 2 Spark workers against 1, with one
thread each.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from project.data.convert import picture_file
from project.data.rows import SPLITS, of_split
from project.data.tables import schema
from tests.rows import read_data_set

ROOT = Path(__file__).parents[2]
SHARD = 5000  # lines
HELD_OUT = 100  # lines of validation, and of test
PARTS = ("train", "transcribe", "loop", "spark", "torchrun")


def write_data(data: str, sizes: Iterable[int], folder: Path) -> None:
    """For each size a data set `train-SIZE` with all three splits, and the same training lines as `pictures-SIZE`."""
    rows = read_data_set(data)
    for split in SPLITS:
        own = of_split(rows[rows["text"] != ""], split)
        lines = [
            {"image": {"bytes": picture_file(row, "lossless"), "path": None}, "text": row.text, "writer": row.writer}
            for row in own.itertuples()
        ]
        for size in sizes:
            if split == "train":
                write_shards(lines, size, folder / f"pictures-{size}" / "part")
            write_shards(lines, size if split == "train" else HELD_OUT, folder / f"train-{size}" / split)


def write_shards(rows: Sequence[dict], lines: int, path: Path) -> None:
    """Write `rows`, again and again, until there are so many `lines`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for shard, start in enumerate(range(0, lines, SHARD)):
        chosen = [rows[number % len(rows)] for number in range(start, min(start + SHARD, lines))]
        table = pa.Table.from_pylist(chosen, schema(("text", "writer")))
        pq.write_table(table, f"{path}-{shard:05}.parquet", row_group_size=500)


def measured(command: list[str], folder: Path, threads: int) -> dict[str, float]:
    """Run Python in `folder`; the JSON that it prints, its `seconds`, and the `peak_mb` of it and its children."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    environment |= {"OMP_NUM_THREADS": str(threads), "XDG_CACHE_HOME": str(folder / "cache")}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    started, peak = time.monotonic(), 0
    with (folder / "printed").open("w+") as printed:
        child = psutil.Popen([sys.executable, *command], cwd=folder, env=environment, stdout=printed, stderr=printed)
        while child.poll() is None:
            peak = max(peak, tree_rss(child))
            time.sleep(0.1)
        seconds = time.monotonic() - started
        printed.seek(0)
        lines = printed.read().splitlines()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, "\n".join(lines[-20:]))
    (figures,) = (json.loads(line) for line in lines if line.startswith("{"))
    return {**figures, "seconds": round(seconds, 1), "peak_mb": peak >> 20}


def tree_rss(process: psutil.Process) -> int:
    """Bytes of a process and all that it started, added up; one that is new may still be its parent's copy."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            if time.time() - one.create_time() > 1:
                total += one.memory_info().rss
    except psutil.NoSuchProcess:  # one that has just ended
        pass
    return total


def training(lines: int, threads: int, processes: int = 1) -> list[str]:
    """The arguments of Python that train for an epoch."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = ["-m", "tests.benchmarks.training", f"--data=train-{lines}", "--epochs=1", f"--threads={threads}"]
    return [*torchrun, *command] if processes > 1 else command


def transcribing(lines: int, threads: int, engine: str = "loop", processes: int = 1) -> list[str]:
    """The arguments of Python that read pictures with the base model."""
    return [
        "-m", "project.transcribe", f"--images=pictures-{lines}",
        f"--output=read-{lines}-{engine}-{threads}-{processes}",
        "--model-version=base", f"--engine={engine}", f"--master=local[{processes}]", f"--processes={processes}",
        "--layout=line", "--pages=", "--review=", "--review-lines=1", "--review-by=chance",
    ]  # fmt: skip


@click.command()
@click.option("--data", required=True, help="A data set as in project/docs/data.md; its training split is repeated.")
@click.option("--sizes", default="1000,10000,100000", help="Lines, separated by commas.")
@click.option("--threads", default=2, type=click.IntRange(1))
@click.option(
    "--workers-lines", default=10_000, type=click.IntRange(1), help="To compare 2 workers with 1, a thread each."
)
@click.option("--only", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS)
def main(data: str, sizes: str, threads: int, workers_lines: int, parts: tuple[str, ...]) -> None:
    wanted = sorted(map(int, sizes.split(",")))
    commands = {
        "train": [(lines, training(lines, threads), threads) for lines in wanted],
        "transcribe": [(lines, transcribing(lines, threads), threads) for lines in wanted],
        "spark": [(workers_lines, transcribing(workers_lines, 1, "spark", n), 1) for n in (1, 2)],
        "loop": [(workers_lines, transcribing(workers_lines, 1, "loop", n), 1) for n in (1, 2)],
        "torchrun": [(workers_lines, training(workers_lines, 1, processes=n), 1) for n in (1, 2)],
    }
    figures: dict[str, float] = {}
    print(f"{'':12}{'lines':>9}{'lines/s':>10}{'seconds':>10}{'peak MB':>10}")
    with tempfile.TemporaryDirectory(prefix="scale-") as kept:
        folder = Path(kept)
        write_data(data, {*wanted, workers_lines}, folder)
        if {"transcribe", "loop", "spark"} & {*parts}:
            register = "from project.tracking.registry import register_base; register_base(); print({})"
            measured(["-c", register], folder, threads)
        for part in parts:
            speeds, peaks = [], []
            for lines, command, set_intra_op_threads in commands[part]:
                found = measured(command, folder, set_intra_op_threads)
                speeds.append(found.get("train_lines_per_s") or found["lines_per_s"])
                peaks.append(found["peak_mb"])
                print(f"{part:12}{lines:9}{speeds[-1]:10.1f}{found['seconds']:10.1f}{peaks[-1]:10}", flush=True)
            if part in ("train", "transcribe"):
                figures[f"{part}_rss_ratio"] = round(peaks[-1] / peaks[0], 3)
                figures[f"{part}_time_ratio"] = round(speeds[0] / speeds[-1], 3)
            else:
                figures[f"{part}_lines_per_s"] = speeds[0]
                figures[f"{part}_speedup_2"] = round(speeds[1] / speeds[0], 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
