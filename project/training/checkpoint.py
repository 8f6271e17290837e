"""How far a training is, and the file from which a killed one goes on."""

import io
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from project.atomic import replaced

log = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """How far a training is, apart from its weights."""

    steps: int = 0
    seconds: float = 0.0  # trained so far, over all times that it was resumed
    best_cer: float = math.inf  # on the validation split
    best_epoch: int = 0  # counted from 1
    history: list[dict[str, float]] = field(default_factory=list)  # the metrics of each epoch
    predictions: list[str] = field(default_factory=list)  # of the validation lines, after the last epoch


def save(checkpoint: Path, modules: Mapping[str, nn.Module], state: TrainingState) -> None:
    """Write all that a training needs to go on, in one step. Raise OSError if it does not fit: the old file stays."""
    state_dicts = {  # cloned: of a view, torch would write all that it is a view of
        name: {key: value.clone() if isinstance(value, Tensor) else value for key, value in module.state_dict().items()}
        for name, module in modules.items()
    }
    buffer = io.BytesIO()  # torch's own writer says "unexpected pos" where the disk is full
    torch.save({"state": asdict(state), "modules": state_dicts}, buffer)
    with replaced(checkpoint) as path:
        path.write_bytes(buffer.getbuffer())


def load(checkpoint: Path | None) -> dict | None:
    """Return what `save` wrote, or None if there is no such file."""
    return torch.load(checkpoint, map_location="cpu", weights_only=True) if checkpoint and checkpoint.exists() else None


def restore(saved: dict, modules: Mapping[str, nn.Module]) -> TrainingState:
    """Put the modules back into the state that `save` wrote; return how far the training was."""
    for name, module in modules.items():
        module.load_state_dict(saved["modules"][name])
    state = TrainingState(**saved["state"])
    log.info("resuming after epoch %d", len(state.history))
    return state
