"""Which checkpoint file is a run's own, and nobody else's, in the folder where it trains; and what is in it."""

import io
import logging
from pathlib import Path

import torch
from torch import Tensor

from project.atomic import replaced

log = logging.getLogger(__name__)


def save(checkpoint: Path, kept: dict, done: dict) -> None:
    """Write all that training needs to go on, in one step. OSError if it cannot be written: the old one stays."""
    state = io.BytesIO()  # torch's own writer says "unexpected pos" where the disk is full
    states = {  # cloned: of a view, torch would write all that it is a view of
        name: {key: part.clone() if isinstance(part, Tensor) else part for key, part in one.state_dict().items()}
        for name, one in kept.items()
    }
    torch.save({"done": done, **states}, state)
    with replaced(checkpoint) as path:
        path.write_bytes(state.getbuffer())


def last_state(checkpoint: Path | None) -> dict | None:
    """What `save` wrote, if it did."""
    return torch.load(checkpoint, map_location="cpu", weights_only=True) if checkpoint and checkpoint.exists() else None


def resume(state: dict, kept: dict) -> dict:
    """Put each of `kept` back into the state that `save` wrote; returns how far training was."""
    for name, one in kept.items():
        one.load_state_dict(state[name])
    log.info("going on after epoch %d", len(state["done"]["history"]))
    return state["done"]
