"""The half of `against_kraken.py` that runs in kraken's own environment, and so imports nothing of the project.

    python kraken_side.py FOLDER MINUTES THREADS

FOLDER/train, FOLDER/validation and FOLDER/test hold line images, each `name.png` with its `name.gt.txt`. Trains
kraken's default recognition network with its default settings, but for 16 lines a batch, with which it is faster; then
reads the test lines. Prints one line of JSON.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from kraken.configs import RecognitionInferenceConfig, VGSLRecognitionTrainingConfig, VGSLRecognitionTrainingDataConfig
from kraken.lib.dataset import collate_sequences
from kraken.train import KrakenTrainer
from kraken.train.vgsl import VGSLRecognitionDataModule, VGSLRecognitionModel
from lightning.pytorch.callbacks import Callback

BATCH_SIZE = 16
READ = 200  # test lines on which inference is timed: as many as in inference.py


class Budget(Callback):
    """Ends the training after so many seconds; counts the lines, and the time without validation, until then."""

    def __init__(self, seconds: float):
        self.deadline = time.monotonic() + seconds
        self.lines = 0
        self.seconds = 0.0

    def on_train_epoch_start(self, trainer, module) -> None:
        self.last = time.monotonic()

    def on_train_batch_end(self, trainer, module, outputs, batch, index) -> None:
        now = time.monotonic()
        self.lines += len(batch["image"])
        self.seconds += now - self.last
        self.last = now
        trainer.should_stop = now > self.deadline  # Lightning then validates once more, and ends


def read(net, lines, indices: range) -> list[str]:
    """The texts of some lines, from their files."""
    batch = collate_sequences([lines[index] for index in indices])
    with torch.inference_mode():
        answers, lengths = net.forward(batch["image"], batch["seq_lens"])
    labels = RecognitionInferenceConfig().decoder(answers.squeeze(2), lengths)
    return ["".join(character for character, *_ in net.codec.decode(line)) for line in labels]


def main(folder: str, minutes: float, threads: int) -> None:
    torch.set_num_threads(threads)
    train, validation, test = (
        sorted(map(str, Path(folder, split).glob("*.png"))) for split in ("train", "validation", "test")
    )
    config = VGSLRecognitionTrainingConfig(batch_size=BATCH_SIZE)
    data = VGSLRecognitionTrainingDataConfig(training_data=train, evaluation_data=validation, format_type="path")
    budget = Budget(60 * minutes)
    trainer = KrakenTrainer(
        accelerator="cpu", devices=1, precision=config.precision, min_epochs=config.min_epochs, max_epochs=-1,
        gradient_clip_val=config.gradient_clip_val, num_sanity_val_steps=0, enable_progress_bar=False,
        enable_summary=False, enable_checkpointing=False, callbacks=[budget],
    )  # fmt: skip
    module, lines = VGSLRecognitionModel(config), VGSLRecognitionDataModule(data)
    trainer.fit(module, lines)

    net = module.net.eval()
    inputs = VGSLRecognitionDataModule(VGSLRecognitionTrainingDataConfig(test_data=test[:READ], format_type="path"))
    inputs = inputs.test_set.dataset
    inputs.transforms = lines.val_set.dataset.transforms
    inputs.no_encode()
    started = time.monotonic()
    for start in range(0, len(inputs), BATCH_SIZE):
        read(net, inputs, range(start, min(start + BATCH_SIZE, len(inputs))))
    seconds = time.monotonic() - started
    figures = {
        "train_lines_per_s": round(budget.lines / budget.seconds, 2),
        "train_lines": budget.lines,
        "epochs": round(budget.lines / len(train), 2),
        "val_cer": round(1 - float(trainer.callback_metrics["val_accuracy"]), 4),
        "inference_lines_per_s": round(len(inputs) / seconds, 1),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "parameters": sum(weight.numel() for weight in net.parameters()),
        "settings": f"{config.spec}, {config.optimizer}, learning rate {config.lrate}, {config.schedule}, "
        f"batch size {config.batch_size}",
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
