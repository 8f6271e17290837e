"""..."""

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

CHECKPOINTS = Path("checkpoints")


@contextmanager
def claim_run_folder(name: str, *made_from: object) -> Iterator[FileLock]:
    """The lock of a checkpoint file for this run, which no other process writes to; held until it is let go of.

    It is the one that a killed run of the same name, made from what has the same `repr`, by the same code, left, if
    there is one.
    """
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.parent.rglob("*.py")))
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
