"""What a training may vary, and within which bounds."""

import dataclasses
import math
from pathlib import Path

import torch

from project.errors import InputError
from project.training.device import suitable_batch


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a training may vary. Pixels are those of the line image, after scaling to `height`."""

    seed: int = 1
    epochs: int = 10
    minutes: float = math.inf  # the schedule is drawn in to end after so many minutes, if the epochs take longer
    micro_batches: int = 0  # of a batch: computed side by side, as far as there are threads or processes; 0: see `on`
    batch_width: int = 0  # px: the padded widths of a micro-batch, added up, at most; less for few lines; 0: see `on`
    learning_rate: float = 8e-3  # at the top of the schedule
    weight_decay: float = 0.1  # times the learning rate: share of every weight that a step takes away
    height: int = 32  # px
    channels: int = 128  # channels of the last convolution
    lstm_units: int = 128  # units of an LSTM, a direction
    lstm_layers: int = 2  # bidirectional LSTMs
    augmentation: float = 0.75  # strength; 0 is none
    page_conditions: float = 0.0  # strength of what pages add to lines, see `training.page_conditions`; 0 is none
    dropout: float = 0.2  # share of the inputs of the LSTMs and of the head that is set to zero
    shortcut_weight: float = 0.5  # of the CTC shortcut's loss; 0 is none
    curriculum_epochs: int = 1  # epochs in which short lines come first, for CTC to leave its plateau of blanks
    ema_decay: float = 0.995  # decay of the moving average of the weights, which is what is kept
    texts: str = ""  # a text file, or a folder with one for each language: the language model is built from it too
    private_writers: str = ""  # starts of writers' names, with commas between: their texts are in no language model
    start_from: str = ""  # nothing, "base", a version (a number, latest, an alias), or runs:/RUN_ID/EPOCH
    patience: int = 5  # epochs without a lower CER on the validation split before the training stops

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, str):
                continue
            low, high = BOUNDS.get(name, (1, math.inf))
            if not value >= low:  # nor is NaN
                raise InputError(f"{name} must be at least {low}, got {value}")
            if value > high:
                raise InputError(f"{name} must be at most {high}, got {value}")
        if self.texts and not Path(self.texts).expanduser().exists():
            raise InputError(f"texts: {self.texts} does not exist")

    def on(self, device: torch.device) -> "Settings":
        """Return the settings with the `batch_width` and the `micro_batches` that suit a device, where they are 0."""
        batch_width, micro_batches = suitable_batch(device)
        return dataclasses.replace(
            self, batch_width=self.batch_width or batch_width, micro_batches=self.micro_batches or micro_batches
        )


BOUNDS = {  # of the numbers that may be other than 1 and more
    "seed": (0, math.inf),
    "minutes": (1e-3, math.inf),
    "micro_batches": (0, math.inf),
    "batch_width": (0, math.inf),
    "learning_rate": (1e-9, math.inf),
    "weight_decay": (0, 1),
    "height": (8, math.inf),
    "channels": (4, math.inf),
    "augmentation": (0, 5),
    "page_conditions": (0, 4),
    "dropout": (0, 0.9),
    "shortcut_weight": (0, math.inf),
    "curriculum_epochs": (0, math.inf),
    "ema_decay": (0, 0.9999),
}
FINE_TUNING_RATE = Settings.learning_rate / 4  # for a training that starts from the weights of a version
