"""Lines + settings -> a trained network. `learn` is forward, loss and backward of a part of a batch; the loop, open and
flat, puts the parts together, steps, and logs.
"""

import copy
import dataclasses
import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from project.data.dataset import Line, lengths_of, widths_of
from project.errors import InputError
from project.evaluation import metrics
from project.recognition.batch import batch, padded_width, width_batches
from project.recognition.charset import BLANK, Charset
from project.recognition.decoding import best_path
from project.recognition.network import CRNN
from project.training import parallel
from project.training.augmentation import augment, sample_stretch
from project.training.checkpoint import last_state, resume, save
from project.training.growth import grow_weights
from project.training.memory import limit_allocators, trim_heap
from project.training.optimizer import AdamW
from project.training.page_conditions import add_page_conditions
from project.training.parallel import Replica, reduce_replicas, replica_pool
from project.training.settings import Settings

if TYPE_CHECKING:
    from project.recognition.recognizer import (
        Recognizer,  # brings MLflow and ONNX Runtime, and 87 MB: training does without
    )

ENOUGH_STEPS = 50  # an epoch: where the lines are too few for so many, the parts of a batch are smaller
LEAST_WIDTH = 1792  # px: but no smaller, for batch norm to have several lines
WARM_UP = 100  # steps to the full learning rate
MAX_NORM = 1.0  # of the gradient, clipped
HAS_BFLOAT16 = bool(torch.cpu.get_capabilities().get("avx512_bf16"))  # else it is slower than float32

log = logging.getLogger(__name__)


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
    start: "Recognizer | None" = None,
) -> tuple[CRNN, list[dict[str, float]]]:
    """Train a network, from nothing or from what `start` knows. Returns it with the weights that read the validation
    split best, and the figures of each epoch: `train_loss` and `val_loss` in nats a character, `val_cer`, `val_wer`,
    `avg_edit_distance`, `train_lines_per_s`.

    `on_epoch` is told, after each epoch (counted from 1): its number, its figures, and the predictions of the
    validation lines. `checkpoint` is written before that; if it is there at the start, training goes on from it,
    and `on_epoch` hears of its last epoch once more, since nobody knows whether it did before.
    Of several processes (see `processes`) all call this with the same lines, and each batch and each validation is
    divided among them; `on_epoch`, `checkpoint` and `start` are those of the first.
    On a CPU, the same settings, lines and machine give the same weights, unless `minutes` cuts the run short.
    """
    limit_allocators()
    trim_heap()  # what reading the tables left
    torch.manual_seed(settings.seed)
    first = parallel.rank() == 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = CRNN(len(charset), settings.channels, settings.lstm_units, settings.lstm_layers)
    if start:
        load_matching_weights(network, charset, settings.height, start)
    network.load_state_dict(parallel.broadcast(network.state_dict()))
    network = network.to(device, memory_format=torch.channels_last)
    network.shortcut.requires_grad_(settings.shortcut_weight > 0)
    average, best = copy.deepcopy(network).eval(), copy.deepcopy(network).eval()
    optimizer = AdamW(network.parameters(), settings.weight_decay)
    kept = {"network": network, "average": average, "best": best, "optimizer": optimizer}
    done = {"steps": 0, "seconds": 0.0, "best_cer": math.inf, "best_epoch": 0, "history": [], "predictions": []}
    history = done["history"]
    if state := parallel.broadcast(last_state(checkpoint)):
        done = resume(state, kept)
        history = done["history"]
        if first:
            on_epoch(len(history), history[-1], done["predictions"])
    count = max(settings.micro_batches, parallel.world_size())  # no process without a part
    own_numbers = parallel.shard(range(count))
    whole = Replica(network.train())
    own_parts = [whole.clone_sharing_weights() for _ in own_numbers]
    all_widths, all_lengths = widths_of(train_lines), lengths_of(train_lines)
    budget = 60 * settings.minutes

    with replica_pool(len(own_parts), device) as pool:
        for epoch in range(len(history) + 1, settings.epochs + 1):
            if len(history) - done["best_epoch"] >= settings.patience or done["seconds"] >= budget:
                break
            started = time.monotonic()
            for number, part in zip(own_numbers, own_parts, strict=True):
                seed = np.random.SeedSequence((settings.seed, epoch, number))  # a resumed run draws the same
                part.generator.manual_seed(int(seed.generate_state(1)[0]))
            rng = np.random.default_rng((settings.seed, epoch))
            stretch = sample_stretch(len(train_lines), settings.augmentation, rng)
            order = batches(all_widths * stretch, settings, count, rng, short_first=epoch <= settings.curriculum_epochs)
            summed_loss = characters = seen = 0
            elapsed = done["seconds"]
            bar = tqdm(order, desc=f"epoch {epoch}/{settings.epochs}", leave=False, mininterval=1, disable=not first)
            for index, chosen in enumerate(bar):
                progress = min(1.0, max((epoch - 1 + index / len(order)) / settings.epochs, elapsed / budget))
                if seen and progress == 1:
                    break
                batch_lines = np.concatenate(chosen)
                batch_characters = int(all_lengths[batch_lines].sum())
                learn_some = functools.partial(forward_backward, settings, train_lines, stretch, batch_characters)
                losses = pool.map(learn_some, own_parts, parallel.shard(chosen))

                own_loss = sum(losses)  # waits for the threads
                own_seconds = (time.monotonic() - started) / parallel.world_size()
                own_parts[0].told.copy_(torch.tensor([own_loss, own_seconds]))
                reduce_replicas(whole, own_parts, count)
                batch_loss, seconds = whole.told.tolist()  # the same in all processes, so that they stop together
                torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
                optimizer.step(learning_rate(settings, done["steps"], progress))
                done["steps"] += 1
                update_ema(average, network, min(settings.ema_decay, done["steps"] / (10 + done["steps"])))
                elapsed = done["seconds"] + seconds
                if not math.isfinite(batch_loss):
                    raise InputError(f"the loss is {batch_loss} in epoch {epoch}: try a lower learning_rate")
                summed_loss += batch_loss
                characters += batch_characters
                seen += len(batch_lines)
            seconds = time.monotonic() - started
            trim_heap()
            validation = validate(average, charset, validation_lines, settings.batch_width)
            trim_heap()
            figures = {
                "train_loss": summed_loss / characters,
                "train_lines_per_s": seen / seconds,
                **validation.figures,
            }
            if figures["val_cer"] < done["best_cer"]:
                best.load_state_dict(average.state_dict())
                done |= {"best_cer": figures["val_cer"], "best_epoch": epoch}
            history.append(figures)
            (seconds,) = parallel.all_reduce((time.monotonic() - started) / parallel.world_size())
            done |= {"seconds": done["seconds"] + seconds, "predictions": validation.predictions}
            if first:
                log.info("epoch %d: %s", epoch, {name: round(figure, 4) for name, figure in figures.items()})
                if checkpoint:
                    save(checkpoint, kept, done)
                on_epoch(epoch, figures, validation.predictions)
    return best.cpu(), history


def batches(
    widths: np.ndarray, settings: Settings, count: int, rng: np.random.Generator, short_first: bool
) -> list[list[np.ndarray]]:
    """The lines of an epoch by their indices: batches of `count` parts, each of lines that are about as wide, as
    stretched: widths (lines,), px.

    Where there are few lines, the parts are smaller, so that an epoch is not over after a few steps.
    """
    enough = int(padded_width(widths).sum()) // (ENOUGH_STEPS * count)
    parts = width_batches(widths, min(settings.batch_width, max(enough, LEAST_WIDTH)), rng)
    cut = [parts[start : start + count] for start in range(0, len(parts), count)]
    if not short_first:
        rng.shuffle(cut)
    return cut


def forward_backward(
    settings: Settings,
    lines: Sequence[Line],
    stretch: np.ndarray,
    batch_characters: int,
    part: Replica,
    chosen: np.ndarray,
) -> float:
    """Forward, loss, backward: add the gradients of some lines, by their indices, of a batch with so many characters
    to the part's. Returns the loss of these lines, in nats. stretch: of each of `lines`, see `augmentation`.
    """
    device = part.buffer.device
    images, widths, targets, target_lengths = tensors([lines[i] for i in chosen], device)
    images, widths = augment(
        images, widths, torch.from_numpy(stretch[chosen]).to(device), settings.augmentation, part.generator
    )
    images = add_page_conditions(images, widths, settings.page_conditions, part.generator)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cpu" and HAS_BFLOAT16):
        features, input_lengths = part.network.features(images, widths)  # (N, F, T), (N,)
        log_probs = part.network.log_probs(features, input_lengths, settings.dropout, part.generator)  # (T, N, C)
        if settings.shortcut_weight:
            shortcut_log_probs = part.network.shortcut_log_probs(features)  # (T, N, C)
    loss = objective = ctc_loss(log_probs, targets, input_lengths, target_lengths)
    if settings.shortcut_weight:
        shortcut_loss = ctc_loss(shortcut_log_probs, targets, input_lengths, target_lengths)
        objective = loss + settings.shortcut_weight * shortcut_loss
    (objective / batch_characters).backward()
    return loss.item()


@torch.no_grad()
def load_matching_weights(network: CRNN, charset: Charset, height: int, start: "Recognizer") -> None:
    """Copy the weights of `start` into `network`; in the output layers, those of the blank and of the characters that
    both charsets hold. The network may be larger than that of `start`, which then lives on in it (see `growth`).

    Raise InputError if it is smaller, has other layers, or their line images differ in height.
    """
    shape = {"height": height, **network.shape}
    fixed = ("height", "lstm_layers")
    if any(shape[name] < size or (name in fixed and shape[name] != size) for name, size in start.shape.items()):
        raise InputError(f"start_from: that version has {start.shape}; these settings have {shape}")
    start_weights: Mapping[str, Tensor] = start.network.state_dict()
    if start.shape != shape:
        start_weights = grow_weights(start_weights, CRNN(len(start.charset), **network.shape))
    shared = "".join(character for character in charset.characters if not start.charset.unknown(character))
    labels, start_labels = [BLANK, *charset.encode(shared)], [BLANK, *start.charset.encode(shared)]
    for name, weight in network.state_dict().items():
        if name.startswith(("head.", "shortcut.")):
            weight[labels] = start_weights[name][start_labels]
        else:
            weight.copy_(start_weights[name])
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
def update_ema(average: CRNN, network: CRNN, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network (Polyak averaging), the statistics of batch norm too."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)


@torch.inference_mode()
def validate_batch(
    network: CRNN, charset: Charset, lines: Sequence[Line], chosen: np.ndarray
) -> tuple[float, dict[int, tuple[str, str]]]:
    """The loss of some lines, by their indices, and of each line its text and the prediction."""
    own = [lines[i] for i in chosen]
    images, widths, targets, target_lengths = tensors(own, next(network.parameters()).device)
    log_probs, input_lengths = network(images, widths)  # (T, N, C), (N,)
    loss = ctc_loss(log_probs, targets, input_lengths, target_lengths).item()
    labels = [best_path(log_probs[:frames, column].cpu().numpy()) for column, frames in enumerate(input_lengths)]
    return loss, {i: (line.text, charset.decode(one)) for i, line, one in zip(chosen, own, labels, strict=True)}


def validate(network: CRNN, charset: Charset, lines: Sequence[Line], batch_width: int) -> Validation:
    """Read the lines by best path. `network` is in evaluation mode, and charset and lines belong to it."""
    chosen = parallel.shard(width_batches(widths_of(lines), batch_width))
    with replica_pool(len(chosen), next(network.parameters()).device) as pool:
        answers = list(pool.map(functools.partial(validate_batch, network, charset, lines), chosen))
    summed_loss = sum(loss for loss, _ in answers)
    read = {i: both for _, some in answers for i, both in some.items()}
    (summed_loss,) = parallel.all_reduce(summed_loss)
    read = {i: both for some in parallel.all_gather(read) for i, both in some.items()}
    texts, predictions = map(list, zip(*(read[i] for i in range(len(lines))), strict=True))
    figures = {
        "val_loss": summed_loss / sum(map(len, texts)),
        "val_cer": metrics.cer(texts, predictions),
        "val_wer": metrics.wer(texts, predictions),
        "avg_edit_distance": metrics.average_edit_distance(texts, predictions),
    }
    return Validation(figures, predictions)
