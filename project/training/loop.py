"""Lines and settings -> a trained network. `train` is the loop, open and flat; its step reads from top to bottom."""

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
from project.recognition.batch import batch, frames_of, padded_width, width_batches
from project.recognition.charset import BLANK, Charset
from project.recognition.decoding import best_path
from project.recognition.network import CRNN
from project.training import checkpoint as checkpoints
from project.training import parallel
from project.training.augmentation import augment, sample_stretch
from project.training.checkpoint import TrainingState
from project.training.device import autocast, choose_device, flatten_lstms, prepared_ahead, sync_interval
from project.training.growth import grow_weights
from project.training.memory import limit_allocators, trim_heap
from project.training.optimizer import AdamW
from project.training.page_conditions import add_page_conditions
from project.training.parallel import Replica, reduce_replicas, replica_pool
from project.training.settings import Settings

if TYPE_CHECKING:
    from project.recognition.recognizer import Recognizer  # brings ONNX Runtime, and 87 MB: training does without

MIN_STEPS = 50  # an epoch: where the lines are too few for so many, the micro-batches are smaller
MIN_BATCH_WIDTH = 1792  # px: but no smaller, for batch norm to have several lines
WARM_UP = 100  # steps to the full learning rate
MAX_NORM = 1.0  # of the gradient, clipped

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Validation:
    """How a network reads the validation split: the metrics, and each line's prediction in the lines' order."""

    metrics: dict[str, float]
    predictions: list[str]


def train(
    settings: Settings,
    charset: Charset,
    train_lines: Sequence[Line],
    validation_lines: Sequence[Line],
    on_epoch: Callable[[int, dict[str, float], list[str]], None] = lambda epoch, metrics, predictions: None,
    checkpoint: Path | None = None,
    start: "Recognizer | None" = None,
    on_weights: Callable[[int, CRNN], None] = lambda epoch, network: None,
) -> tuple[CRNN, list[dict[str, float]]]:
    """Train a network, from random weights or from those of `start`. Return it with the weights that read the
    validation split best, and the metrics of each epoch: `train_loss` and `val_loss` in nats a character, `val_cer`,
    `val_wer`, `avg_edit_distance`, `train_lines_per_s`.

    on_epoch: called after each epoch with its number from 1, its metrics, and the predictions of the validation lines.
    on_weights: called just before, with the number and the network of these metrics.
    checkpoint: written before both; if it exists at the start, training resumes from it, and they are called once more
    for its last epoch, since nobody knows whether they were before.
    Of several processes (see `parallel`) all call this with the same lines, and each batch and each validation is
    divided among them; `on_epoch`, `on_weights`, `checkpoint` and `start` are those of rank 0.
    On a CPU, the same settings, lines and machine give the same weights, unless `minutes` cuts the run short.
    Raise InputError if the loss is not finite, or `start` does not fit the settings.
    """
    limit_allocators()
    trim_heap()  # what reading the tables left
    torch.manual_seed(settings.seed)
    first = parallel.rank() == 0
    device = training_device()
    settings = settings.on(device)
    network = initial_network(settings, charset, start).to(device).to(memory_format=torch.channels_last).train()
    average, best = copy.deepcopy(network).eval(), copy.deepcopy(network).eval()
    for flat in (network, average):
        flatten_lstms(flat)
    optimizer = AdamW(network.parameters(), settings.weight_decay)
    modules = {"network": network, "average": average, "best": best, "optimizer": optimizer}
    state = TrainingState()
    if saved := parallel.broadcast(checkpoints.load(checkpoint)):
        state = checkpoints.restore(saved, modules)
        if first:
            on_weights(len(state.history), average)
            on_epoch(len(state.history), state.history[-1], state.predictions)

    micro_batches = max(settings.micro_batches, parallel.world_size())  # no process without one
    own = parallel.shard(range(micro_batches))  # the micro-batches of this process, by their place in a batch
    whole = Replica(network)
    replicas = [whole.clone_sharing_weights() for _ in own]
    widths, lengths = widths_of(train_lines), lengths_of(train_lines)
    budget = 60 * settings.minutes  # s

    for epoch in range(len(state.history) + 1, settings.epochs + 1):
        if len(state.history) - state.best_epoch >= settings.patience or state.seconds >= budget:
            break
        started = time.monotonic()
        rng = np.random.default_rng((settings.seed, epoch))  # by epoch: a resumed training draws the same
        for number, replica in zip(own, replicas, strict=True):
            seed = np.random.SeedSequence((settings.seed, epoch, number))
            replica.generator.manual_seed(int(seed.generate_state(1)[0]))
        stretch = sample_stretch(len(train_lines), settings.augmentation, rng)
        short_first = epoch <= settings.curriculum_epochs
        batches = epoch_batches(widths * stretch, settings, micro_batches, rng, short_first)
        prepare = functools.partial(prepare_batch, train_lines, stretch, device)
        own_batches = prepared_ahead(prepare, (list(parallel.shard(batch)) for batch in batches), device)
        summed_loss = characters = seen = 0
        unread_loss: float | Tensor = 0.0
        unread_characters, elapsed = 0, state.seconds
        bar = tqdm(batches, desc=f"epoch {epoch}/{settings.epochs}", leave=False, mininterval=1, disable=not first)
        with replica_pool(len(replicas), device) as pool:
            for index, chosen in enumerate(bar):
                # schedule: by epochs, or by minutes where they end first
                progress = min(1.0, max((epoch - 1 + index / len(batches)) / settings.epochs, elapsed / budget))
                if seen and progress == 1:
                    break
                rate = learning_rate(settings, state.steps, progress)

                # batch: `chosen` are the lines of each micro-batch, by their indices
                batch_lines = np.concatenate(chosen)
                batch_characters = int(lengths[batch_lines].sum())

                # forward and backward, each micro-batch of this process on a thread
                add_gradients = functools.partial(forward_backward, settings, batch_characters)
                unread_loss += sum(pool.map(add_gradients, replicas, next(own_batches)))  # waits for the threads
                unread_characters += batch_characters

                # all-reduce: gradients; and loss and clock, so that all processes step, and stop, together
                reduce_replicas(whole, replicas, micro_batches)
                if index % sync_interval(device) == 0 or index + 1 == len(batches):
                    own_seconds = (time.monotonic() - started) / parallel.world_size()
                    totals = torch.tensor([float(unread_loss), own_seconds], device=parallel.collective_device())
                    loss, seconds = parallel.all_reduce(totals).tolist()
                    if not math.isfinite(loss):
                        raise InputError(f"the loss is {loss} in epoch {epoch}: try a lower learning_rate")
                    summed_loss += loss
                    characters += unread_characters
                    unread_loss, unread_characters, elapsed = 0.0, 0, state.seconds + seconds

                # clip
                torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)

                # optimizer step
                optimizer.step(rate)
                state.steps += 1

                # average: with a shorter memory in the first steps
                update_ema(average, network, min(settings.ema_decay, state.steps / (10 + state.steps)))

                # log
                seen += len(batch_lines)
                bar.set_postfix_str(time_left(elapsed, progress), refresh=False)
        lines_per_s = seen / (time.monotonic() - started)

        trim_heap()
        validation = validate(average, charset, validation_lines, settings.batch_width)
        trim_heap()
        epoch_metrics = {
            "train_loss": summed_loss / characters,
            "train_lines_per_s": lines_per_s,
            **validation.metrics,
        }
        if epoch_metrics["val_cer"] < state.best_cer:
            best.load_state_dict(average.state_dict())
            state.best_cer, state.best_epoch = epoch_metrics["val_cer"], epoch
        state.history.append(epoch_metrics)
        state.predictions = validation.predictions
        own_seconds = (time.monotonic() - started) / parallel.world_size()
        seconds = torch.tensor(own_seconds, device=parallel.collective_device(), dtype=torch.float64)
        state.seconds += parallel.all_reduce(seconds).item()
        if first:
            log.info("epoch %d: %s", epoch, {name: round(metric, 4) for name, metric in epoch_metrics.items()})
            if checkpoint:
                checkpoints.save(checkpoint, modules, state)
            on_weights(epoch, average)
            on_epoch(epoch, epoch_metrics, validation.predictions)
    return best.cpu(), state.history


def training_device() -> torch.device:
    """Return the device that trains."""
    return choose_device(trial_step)


def trial_step(device: torch.device) -> None:
    """Make one step of training on a device, with a tiny network. RuntimeError or another if it does not work there."""
    network = CRNN(2, channels=8, lstm_units=4, lstm_layers=1).to(device).to(memory_format=torch.channels_last).train()
    replica = Replica(network)
    line = Line(np.full((1, 32, 64), 255, np.uint8), "a", [1])
    prepare = functools.partial(prepare_batch, [line], np.ones(1, np.float32), device, np.array([0]))
    forward_backward(Settings(page_conditions=4), 1, replica, prepare)
    AdamW(network.parameters(), 0.1).step(1e-3)
    validate_batch(network.eval(), Charset("a"), [line], np.array([0]))


def initial_network(settings: Settings, charset: Charset, start: "Recognizer | None") -> CRNN:
    """Build the network with random weights, or those of `start`; of several processes, all with those of rank 0."""
    network = CRNN(len(charset), settings.channels, settings.lstm_units, settings.lstm_layers)
    if start:
        load_matching_weights(network, charset, settings.height, start)
    network.load_state_dict(parallel.broadcast(network.state_dict()))
    network.shortcut.requires_grad_(settings.shortcut_weight > 0)
    return network


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
    shared = "".join(character for character in charset.characters if not start.charset.unknown(character))
    labels, start_labels = [BLANK, *charset.encode(shared)], [BLANK, *start.charset.encode(shared)]
    start_weights: Mapping[str, Tensor] = start.network.state_dict()
    if start.shape != shape:
        start_weights = grow_weights(start_weights, CRNN(len(start.charset), **network.shape))
    for name, weight in network.state_dict().items():
        if name.startswith(("head.", "shortcut.")):
            weight[labels] = start_weights[name][start_labels]
        else:
            weight.copy_(start_weights[name])
    log.info("starting from a network that knows %d of %d characters", len(shared), len(charset.characters))


def epoch_batches(
    widths: np.ndarray, settings: Settings, micro_batches: int, rng: np.random.Generator, short_first: bool
) -> list[list[np.ndarray]]:
    """Divide the lines of an epoch, by their indices, into batches of so many micro-batches, each of lines that are
    about as wide. widths: (lines,), px, as stretched.

    Where there are few lines, the micro-batches are smaller, so that an epoch is not over after a few steps.
    """
    batch_width = int(padded_width(widths).sum()) // (MIN_STEPS * micro_batches)
    batch_width = min(settings.batch_width, max(batch_width, MIN_BATCH_WIDTH))
    in_order = width_batches(widths, batch_width, rng)
    batches = [in_order[start : start + micro_batches] for start in range(0, len(in_order), micro_batches)]
    if not short_first:
        rng.shuffle(batches)
    return batches


def learning_rate(settings: Settings, steps: int, progress: float) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine to 0 (Loshchilov and Hutter 2017, section 3).

    progress: of the training, 0 to 1.
    """
    return settings.learning_rate * min(1.0, (steps + 1) / WARM_UP) * (1 + math.cos(math.pi * progress)) / 2


@dataclasses.dataclass
class Batch:
    """Lines of a micro-batch. What the host computes with stays on the CPU: to ask a GPU for it is to wait for it."""

    images: Tensor  # (N, 1, H, Wmax) in [0, 1], on the device
    widths: Tensor  # (N,) px, on the CPU
    stretch: Tensor  # (N,), on the CPU; see `augmentation`
    targets: Tensor  # all labels, line after line, on the device
    target_lengths: Tensor  # (N,), on the CPU


def prepare_batch(lines: Sequence[Line], stretch: np.ndarray, device: torch.device, chosen: np.ndarray) -> Batch:
    """Put the chosen of the lines, by their indices, into tensors. stretch: of each of `lines`."""
    own = [lines[i] for i in chosen]
    images, widths = batch([line.image for line in own])
    targets = torch.tensor([label for line in own for label in line.labels])
    target_lengths = torch.tensor([len(line.labels) for line in own])
    moved = [to_device(tensor, device) for tensor in (torch.from_numpy(images), targets)]
    return Batch(moved[0], torch.from_numpy(widths), torch.from_numpy(stretch[chosen]), moved[1], target_lengths)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to the device; to one of CUDA from pinned memory, which the host need not wait for."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")


def forward_backward(
    settings: Settings, batch_characters: int, replica: Replica, prepared: Callable[[], Batch]
) -> float | Tensor:
    """Add the gradients of a micro-batch to the replica's; return its loss, in nats, summed over its lines; on a GPU as
    a tensor that it is still to compute. batch_characters: of the whole batch, by which the loss is divided.
    """
    device, micro_batch = replica.buffer.device, prepared()
    images, widths = augment(
        micro_batch.images, micro_batch.widths, micro_batch.stretch, settings.augmentation, replica.generator
    )
    input_lengths = frames_of(widths)  # (N,)
    widths = to_device(widths, device)
    images = add_page_conditions(images, widths, settings.page_conditions, replica.generator)
    with autocast(device):
        features, frames = replica.network.features(images, widths)  # (N, F, T), (N,)
        log_probs = replica.network.log_probs(features, frames, settings.dropout, replica.generator)  # (T, N, C)
        if settings.shortcut_weight:
            shortcut_log_probs = replica.network.shortcut_log_probs(features)  # (T, N, C)
    loss = objective = ctc_loss(log_probs, micro_batch.targets, input_lengths, micro_batch.target_lengths)
    if settings.shortcut_weight:
        shortcut_loss = ctc_loss(shortcut_log_probs, micro_batch.targets, input_lengths, micro_batch.target_lengths)
        objective = loss + settings.shortcut_weight * shortcut_loss
    (objective / batch_characters).backward()
    return loss.item() if device.type == "cpu" else loss.detach()


def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """Compute -log p(targets), summed over the lines (Graves et al. 2006, section 4). log_probs: (T, N, C).

    A line that the augmentation made too narrow for its text counts as 0 rather than as infinity.
    """
    if log_probs.device.type == "mps":  # torch has no CTC there
        log_probs, targets = log_probs.cpu(), targets.cpu()
    return functional.ctc_loss(log_probs, targets, input_lengths, target_lengths, BLANK, "sum", zero_infinity=True)


@torch.no_grad()
def update_ema(average: CRNN, network: CRNN, decay: float) -> None:
    """Set average to decay * average + (1 - decay) * network (Polyak averaging), batch norm's statistics included."""
    for averaged, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if averaged.is_floating_point():
            averaged.lerp_(new, 1 - decay)


def time_left(elapsed: float, progress: float) -> str:
    """Return when a training ends at its pace so far, such as "training ends in 1:05:00"; "" while there is no pace.

    elapsed: seconds. progress: of the training, 0 to 1.
    """
    return f"training ends in {tqdm.format_interval(elapsed * (1 - progress) / progress)}" if progress else ""


def validate(network: CRNN, charset: Charset, lines: Sequence[Line], batch_width: int) -> Validation:
    """Return metrics and predictions of the lines, read by best path. network: in evaluation mode. All processes call
    this together.
    """
    device = next(network.parameters()).device
    batches = parallel.shard(width_batches(widths_of(lines), batch_width))
    with replica_pool(len(batches), device) as pool:
        results = list(pool.map(functools.partial(validate_batch, network, charset, lines), batches))
    own_loss = torch.tensor(sum(loss for loss, _ in results), device=parallel.collective_device(), dtype=torch.float64)
    summed_loss = parallel.all_reduce(own_loss).item()
    own_predictions = {i: prediction for _, predictions in results for i, prediction in predictions.items()}
    by_index = {i: prediction for rank in parallel.all_gather(own_predictions) for i, prediction in rank.items()}
    texts, predictions = map(list, zip(*(by_index[i] for i in range(len(lines))), strict=True))
    validation_metrics = {
        "val_loss": summed_loss / sum(map(len, texts)),
        "val_cer": metrics.cer(texts, predictions),
        "val_wer": metrics.wer(texts, predictions),
        "avg_edit_distance": metrics.average_edit_distance(texts, predictions),
    }
    return Validation(validation_metrics, predictions)


@torch.inference_mode()
def validate_batch(
    network: CRNN, charset: Charset, lines: Sequence[Line], chosen: np.ndarray
) -> tuple[float, dict[int, tuple[str, str]]]:
    """Return the loss of some lines, by their indices, and by index the text and the prediction of each."""
    device = next(network.parameters()).device
    micro_batch = prepare_batch(lines, np.ones(len(lines), np.float32), device, chosen)
    log_probs, _ = network(micro_batch.images, to_device(micro_batch.widths, device))  # (T, N, C)
    input_lengths = frames_of(micro_batch.widths)  # (N,)
    loss = ctc_loss(log_probs, micro_batch.targets, input_lengths, micro_batch.target_lengths).item()
    on_host = log_probs.cpu().numpy()
    predictions = {}
    for column, (i, frames) in enumerate(zip(chosen, input_lengths.tolist(), strict=True)):
        predictions[i] = lines[i].text, charset.decode(best_path(on_host[:frames, column]))
    return loss, predictions
