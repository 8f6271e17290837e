"""What each setting is worth: a training for each variant of the defaults, which differs in one place, on one budget.

    python -m tests.benchmarks.ablation --data ../shared/data/bench-synthetic --minutes 8 --threads 2

Each variant is a nested run of one MLflow parent run, in the experiment `ablation`; a second call with the same data
and budget does only those that are missing. Prints a table of all (CER of the validation split, lines a second over the
training), writes it and a picture to --output, and ends with one line of JSON.
"""

import dataclasses
import json
from pathlib import Path

import click
import matplotlib.pyplot as plt
import mlflow
import pandas as pd
import torch

from project.data.dataset import load_data
from project.training.loop import train, training_device, validate
from project.training.settings import Settings
from tests.benchmarks.training import lines_per_s

EXPERIMENT = "ablation"
VARIANTS: dict[str, dict[str, float]] = {
    "the defaults": {},
    "height 24": {"height": 24},
    "height 36": {"height": 36},
    "height 48": {"height": 48},
    "one LSTM of 160": {"lstm_layers": 1, "lstm_units": 160},
    "LSTMs of 96": {"lstm_units": 96},
    "LSTMs of 192": {"lstm_units": 192},
    "convolutions 2/3 as wide": {"channels": 84},
    "convolutions 1.5 times as wide": {"channels": 192},
    "batches of half the size": {"batch_width": 2048},
    "batches of twice the size": {"batch_width": 8192},
    "half the learning rate": {"learning_rate": 4e-3},
    "twice the learning rate": {"learning_rate": 1.6e-2},
    "a tenth of the weight decay": {"weight_decay": 0.01},
    "no shortcut": {"shortcut_weight": 0},
    "shortcut of weight 0.1": {"shortcut_weight": 0.1},
    "no augmentation": {"augmentation": 0},
    "half the augmentation": {"augmentation": 0.375},
    "twice the augmentation": {"augmentation": 1.5},
    "no dropout": {"dropout": 0},
    "twice the dropout": {"dropout": 0.4},
    "no short lines first": {"curriculum_epochs": 0},
    "no averaging of weights": {"ema_decay": 0},
}


def try_out(settings: Settings, data: str) -> dict[str, float]:
    """Train with these settings; the figures of the weights that read the validation split best, and the speed."""
    prepared = load_data(data, height=settings.height, seed=settings.seed)
    lines = prepared.lines

    def log_epoch(epoch: int, figures: dict[str, float], predictions: list[str]) -> None:
        mlflow.log_metrics(figures, step=epoch)

    network, history = train(settings, prepared.charset, lines["train"], lines["validation"], log_epoch)
    best = validate(network, prepared.charset, lines["validation"], settings.on(training_device()).batch_width)
    return {
        "val_cer": round(best.metrics["val_cer"], 4),
        "train_lines_per_s": lines_per_s(history),
        "epochs": len(history),
    }


def draw(table: pd.DataFrame, title: str) -> plt.Figure:
    """The CER of each variant, the defaults' as a line."""
    figure, ax = plt.subplots(figsize=(8, 0.5 + 0.3 * len(table)), layout="constrained")
    ranked = table.sort_values("val_cer", ascending=False)
    colors = ["#1b4332" if name == "the defaults" else "#8d99ae" for name in ranked["variant"]]
    bars = ax.barh(ranked["variant"], 100 * ranked["val_cer"], color=colors)
    ax.bar_label(bars, fmt="%.1f", padding=3)
    ax.margins(x=0.08)  # for the labels
    ax.axvline(100 * float(table.set_index("variant")["val_cer"]["the defaults"]), color="#1b4332", linewidth=0.8)
    ax.set(xlabel="CER of the validation split, %", title=title)
    return figure


@click.command()
@click.option("--data", required=True, help="A data set as in project/docs/data.md, or synthetic.")
@click.option("--minutes", required=True, type=click.FloatRange(min=0, min_open=True))
@click.option("--threads", default=2, type=click.IntRange(1))
@click.option("--variant", "names", multiple=True, type=click.Choice(list(VARIANTS)), help="Only these.")
@click.option("--output", required=True, type=click.Path(file_okay=False), help="A folder, which is made.")
def main(data: str, minutes: float, threads: int, names: tuple[str, ...], output: str) -> None:
    torch.set_num_threads(threads)
    Path(output).mkdir(parents=True, exist_ok=True)
    mlflow.set_experiment(EXPERIMENT)
    budget = f"{Path(data).name}, {minutes:g} minutes, {threads} thread(s)"
    parents = mlflow.search_runs(filter_string=f"run_name = '{budget}'", output_format="list")
    with mlflow.start_run(parents[0].info.run_id if parents else None, run_name=budget) as parent:
        of_parent = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and attributes.status = 'FINISHED'"
        rows = {
            run.info.run_name: dict(run.data.metrics) | {"variant": run.info.run_name}
            for run in mlflow.search_runs(filter_string=of_parent, output_format="list")
        }
        for name in ["the defaults", *(names or VARIANTS)]:
            if name in rows:
                continue
            settings = Settings(epochs=10_000, patience=10_000, minutes=minutes, **VARIANTS[name])
            with mlflow.start_run(run_name=name, nested=True):
                mlflow.log_params(dataclasses.asdict(settings))
                figures = try_out(settings, data)
                mlflow.log_metrics(figures, step=figures["epochs"] + 1)  # after the epochs' own: the last step counts
            rows[name] = figures | {"variant": name}
            print(f"{name}: {figures}", flush=True)
        columns = ["variant", "val_cer", "train_lines_per_s", "epochs"]
        table = pd.DataFrame(rows.values())[columns].astype({"epochs": int}).sort_values("val_cer")
        figure = draw(table, budget)
        mlflow.log_figure(figure, "ablation.png")
        mlflow.log_text(table.to_csv(index=False), "ablation.csv")
    table.to_csv(Path(output, "ablation.csv"), index=False)
    figure.savefig(Path(output, "ablation.png"), dpi=100)
    print(table.to_string(index=False))
    print(json.dumps({"best": table["variant"].iloc[0], "val_cer": table["val_cer"].iloc[0], "variants": len(table)}))


if __name__ == "__main__":
    main()
