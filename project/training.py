"""Lines + settings -> a trained network. The loop is open and flat: forward, loss, backward, step, log."""

import copy
import dataclasses
import io
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from project import metrics
from project.augmentation import augment
from project.charset import BLANK, Charset
from project.crnn import CRNN
from project.decoding import best_path
from project.files import replaced
from project.images import batch, width_batches
from project.lines import Line, widths_of
from project.recognizer import Recognizer

WARM_UP = 100  # steps to the full learning rate
MAX_NORM = 1.0  # of the gradient, clipped
KERNELS = "64"  # that oneDNN keeps, a set for each shape of a batch; its own default takes hundreds of MB more

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a training run may vary. Pixels are those of the line image, after scaling to `height`."""

    seed: int = 1
    epochs: int = 10
    minutes: float = math.inf  # the schedule is drawn in to end after so many minutes, if the epochs take longer
    batch_width: int = 3584  # px: the padded widths of a batch, added up
    learning_rate: float = 6e-3  # at the top of the schedule
    height: int = 36  # px
    width: int = 128  # channels of the last convolution
    hidden: int = 128  # units of an LSTM, a direction
    layers: int = 2  # bidirectional LSTMs
    dropout: float = 0.2
    augmentation: float = 1.0  # strength; 0 is none
    shortcut_weight: float = 0.5  # of the CTC shortcut's loss; 0 is none
    short_first: int = 1  # epochs in which short lines come first, for CTC to leave its plateau of blanks
    average: float = 0.995  # decay of the moving average of the weights, which is what is kept
    start_from: str = ""  # nothing, "base", or a registered version: a number, latest or an alias
    patience: int = 5  # epochs without a lower CER on the validation split before the run stops

    def __post_init__(self):
        least = dict.fromkeys(("seed", "dropout", "augmentation", "shortcut_weight", "short_first", "average"), 0)
        least |= {"minutes": 1e-3, "learning_rate": 1e-9, "height": 8, "width": 4}
        for name, setting in dataclasses.asdict(self).items():
            if name != "start_from" and not setting >= least.get(name, 1):
                raise ValueError(f"{name} must be at least {least.get(name, 1)}, got {setting}")
        for name in ("dropout", "average"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name} must be less than 1, got {getattr(self, name)}")


@dataclasses.dataclass
class Validation:
    """How a network reads the validation split: the figures, and each line's prediction in the lines' order."""

    figures: dict[str, float]
    predictions: list[str]


def train(
    settings: Settings,
    charset: Charset,
    train_lines: Sequence[Line],
    validation_lines: Sequence[Line],
    on_epoch: Callable[[int, dict[str, float], list[str]], None] = lambda epoch, figures, predictions: None,
    checkpoint: Path | None = None,
    start: Recognizer | None = None,
) -> tuple[CRNN, list[dict[str, float]]]:
    """Train a network, from nothing or from what `start` knows. Returns it with the weights that read the validation
    split best, and the figures of each epoch: `train_loss` and `val_loss` in nats a character, `val_cer`, `val_wer`,
    `avg_edit_distance`, `train_lines_per_s`.

    `on_epoch` is told, after each epoch (counted from 1): its number, its figures, and the predictions of the
    validation lines. `checkpoint` is written before that; if it is there at the start, training goes on from it,
    and `on_epoch` hears of its last epoch once more, since nobody knows whether it did before.
    On a CPU, the same settings, lines and machine give the same weights, unless `minutes` cuts the run short.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS)
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = CRNN(len(charset), settings.width, settings.hidden, settings.layers, settings.dropout)
    if start:
        take_over(network, charset, settings.height, start)
    network = network.to(device, memory_format=torch.channels_last)
    average, best = copy.deepcopy(network).eval(), copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    parts = {"network": network, "average": average, "best": best, "optimizer": optimizer}
    done = {"steps": 0, "seconds": 0.0, "best_cer": math.inf, "best_epoch": 0, "history": [], "predictions": []}
    history = done["history"]
    if checkpoint and checkpoint.exists():
        done = resume(checkpoint, parts)
        history = done["history"]
        on_epoch(len(history), history[-1], done["predictions"])
    all_widths = widths_of(train_lines)
    budget = 60 * settings.minutes

    for epoch in range(len(history) + 1, settings.epochs + 1):
        if len(history) - done["best_epoch"] >= settings.patience or done["seconds"] >= budget:
            break
        started = time.monotonic()
        rng = np.random.default_rng((settings.seed, epoch))
        torch.manual_seed(settings.seed * 1_000_003 + epoch)  # so that a resumed run draws the same numbers
        order = width_batches(all_widths, settings.batch_width, rng)
        if epoch > settings.short_first:
            rng.shuffle(order)
        network.train()
        summed_loss = characters = seen = 0
        for index, chosen in enumerate(
            tqdm(order, desc=f"epoch {epoch}/{settings.epochs}", leave=False, mininterval=1)
        ):
            elapsed = done["seconds"] + time.monotonic() - started
            progress = min(1.0, max((epoch - 1 + index / len(order)) / settings.epochs, elapsed / budget))
            if seen and progress == 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, done["steps"], progress)

            images, widths, targets, target_lengths = tensors([train_lines[i] for i in chosen], device)
            images, widths = augment(images, widths, settings.augmentation)
            features, input_lengths = network.features(images, widths)  # (N, F, T), (N,)
            loss = ctc_loss(network.log_probs(features, input_lengths), targets, input_lengths, target_lengths)
            objective = loss
            if settings.shortcut_weight:
                shortcut = network.shortcut_log_probs(features)
                objective = loss + settings.shortcut_weight * ctc_loss(shortcut, targets, input_lengths, target_lengths)
            optimizer.zero_grad()
            (objective / target_lengths.sum()).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
            optimizer.step()

            done["steps"] += 1
            follow(average, network, min(settings.average, done["steps"] / (10 + done["steps"])))
            if not loss.isfinite():
                raise ValueError(f"the loss is {loss.item()} in epoch {epoch}: try a lower learning_rate")
            summed_loss += loss.item()
            characters += int(target_lengths.sum())
            seen += len(chosen)
        seconds = time.monotonic() - started
        validation = validate(average, charset, validation_lines, settings.batch_width)
        figures = {"train_loss": summed_loss / characters, "train_lines_per_s": seen / seconds, **validation.figures}
        if figures["val_cer"] < done["best_cer"]:
            best.load_state_dict(average.state_dict())
            done |= {"best_cer": figures["val_cer"], "best_epoch": epoch}
        history.append(figures)
        done |= {"seconds": done["seconds"] + time.monotonic() - started, "predictions": validation.predictions}
        log.info("epoch %d: %s", epoch, {name: round(figure, 4) for name, figure in figures.items()})
        if checkpoint:
            save(checkpoint, parts, done)
        on_epoch(epoch, figures, validation.predictions)
    return best.cpu(), history


@torch.no_grad()
def take_over(network: CRNN, charset: Charset, height: int, start: Recognizer) -> None:
    """Give `network` the weights of `start`; in the output layers, those of the blank and of the characters that both
    charsets hold. ValueError if the networks differ in shape, or their line images in height.
    """
    if (start.height, start.network.shape) != (height, network.shape):
        raise ValueError(
            f"start_from: that version has height {start.height} and {start.network.shape}; "
            f"these settings have height {height} and {network.shape}"
        )
    shared = "".join(character for character in charset.characters if not start.charset.unknown(character))
    ours, theirs = [BLANK, *charset.encode(shared)], [BLANK, *start.charset.encode(shared)]
    known = start.network.state_dict()
    for name, weight in network.state_dict().items():
        if name.startswith(("head.", "shortcut.")):
            weight[ours] = known[name][theirs]
        else:
            weight.copy_(known[name])
    log.info("starting from a network that knows %d of %d characters", len(shared), len(charset.characters))


def learning_rate(settings: Settings, steps: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017, section 3). progress: 0..1."""
    return settings.learning_rate * min(1.0, (steps + 1) / WARM_UP) * (1 + math.cos(math.pi * progress)) / 2


def tensors(lines: Sequence[Line], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """images (N, 1, H, Wmax), widths (N,), targets (all labels, one line after another), target_lengths (N,)."""
    images, widths = batch([line.image for line in lines])
    targets = torch.tensor([label for line in lines for label in line.labels])
    target_lengths = torch.tensor([len(line.labels) for line in lines])
    return torch.from_numpy(images).to(device), torch.from_numpy(widths).to(device), targets.to(device), target_lengths


def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """-log p(targets), summed over the lines (Graves et al. 2006, section 4). log_probs: (T, N, C).

    A line that the augmentation made too narrow for its text counts as 0 rather than as infinity.
    """
    return functional.ctc_loss(log_probs, targets, input_lengths, target_lengths, BLANK, "sum", zero_infinity=True)


@torch.no_grad()
def follow(average: CRNN, network: CRNN, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network (Polyak averaging); counters are copied."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


@torch.inference_mode()
def validate(network: CRNN, charset: Charset, lines: Sequence[Line], batch_width: int) -> Validation:
    """Read the lines by best path. `network` is in evaluation mode, and charset and lines belong to it."""
    device = next(network.parameters()).device
    texts, predictions, summed_loss = [""] * len(lines), [""] * len(lines), 0.0
    for chosen in width_batches(widths_of(lines), batch_width):
        read = [lines[i] for i in chosen]
        images, widths, targets, target_lengths = tensors(read, device)
        log_probs, input_lengths = network(images, widths)  # (T, N, C), (N,)
        summed_loss += ctc_loss(log_probs, targets, input_lengths, target_lengths).item()
        for column, i in enumerate(chosen):
            texts[i] = read[column].text
            predictions[i] = charset.decode(best_path(log_probs[: input_lengths[column], column].cpu().numpy()))
    figures = {
        "val_loss": summed_loss / sum(map(len, texts)),
        "val_cer": metrics.cer(texts, predictions),
        "val_wer": metrics.wer(texts, predictions),
        "avg_edit_distance": metrics.average_edit_distance(texts, predictions),
    }
    return Validation(figures, predictions)


def save(checkpoint: Path, parts: dict, done: dict) -> None:
    """Write all that training needs to go on, in one step. OSError if it cannot be written: the old one stays."""
    state = io.BytesIO()  # torch's own writer says "unexpected pos" where the disk is full
    torch.save({"done": done, **{name: part.state_dict() for name, part in parts.items()}}, state)
    with replaced(checkpoint) as path:
        path.write_bytes(state.getbuffer())


def resume(checkpoint: Path, parts: dict) -> dict:
    """Put each part back into the state that `save` wrote; returns how far training was."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    log.info("going on after epoch %d from %s", len(state["done"]["history"]), checkpoint)
    return state["done"]
