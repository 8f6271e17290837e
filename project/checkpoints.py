"""Which checkpoint file is a run's own, and nobody else's, in the folder where it trains; and what is in it."""

import hashlib
import io
import itertools
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from project.files import replaced

CHECKPOINTS = Path("checkpoints")

log = logging.getLogger(__name__)


@contextmanager
def own_checkpoint(name: str, *made_from: object) -> Iterator[FileLock]:
    """The lock of a checkpoint file for this run, which no other process writes to; held until it is let go of.

    It is the one that a killed run of the same name, made from what has the same `repr`, by the same code, left, if
    there is one.
    """
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
    fingerprint = hashlib.sha256(repr(made_from).encode() + code).hexdigest()[:12]
    CHECKPOINTS.mkdir(exist_ok=True)
    for number in itertools.count(1):
        claim = FileLock(CHECKPOINTS / f"{name}-{fingerprint}-{number}.lock")
        try:
            claim.acquire(blocking=False)
        except Timeout:
            continue  # a run that is still going on
        try:
            for killed in CHECKPOINTS.glob(f".{checkpoint_of(claim).stem}-*"):
                shutil.rmtree(killed)  # while it was written
            yield claim
        except BaseException:
            claim.release()
            raise
        return


def checkpoint_of(claim: FileLock) -> Path:
    """The checkpoint file that a lock belongs to."""
    return Path(claim.lock_file).with_suffix(".pt")


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
