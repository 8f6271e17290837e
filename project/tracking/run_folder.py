"""The folder of a run on this machine: what it needs until MLflow has all of it."""

import hashlib
import itertools
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

CHECKPOINTS = Path("checkpoints")  # in the working directory
PACKAGE = Path(__file__).parent.parent


class RunFolder:
    """`checkpoints/NAME-HASH-N/`, locked for one run of this process."""

    def __init__(self, path: Path):
        self.path = path
        self.checkpoint = path / "checkpoint.pt"  # the training after its last epoch
        self.mark = path / "mark"  # the tag by which the MLflow run is found again
        self.spool = path / "spool"  # epochs that are still to be logged
        self.result = path / "result.json"  # of a run that finished, until it is deleted here
        self._lock = FileLock(path / "lock")

    @classmethod
    def claim(cls, name: str, *made_from: object) -> "RunFolder":
        """Lock a folder for a run: the one that a killed run left, of the same name, of the same code, and made from
        objects of the same `repr`; or a new one.
        """
        code = b"".join(path.read_bytes() for path in sorted(PACKAGE.rglob("*.py")))
        fingerprint = hashlib.sha256(repr(made_from).encode() + code).hexdigest()[:12]
        for number in itertools.count(1):
            folder = cls(CHECKPOINTS / f"{name}-{fingerprint}-{number}")
            folder.path.mkdir(parents=True, exist_ok=True)
            try:
                folder._lock.acquire(blocking=False)
            except Timeout:
                continue  # of a run that is still going on
            for unfinished in folder.path.glob(".*-*"):
                shutil.rmtree(unfinished)  # of a process that was killed while it wrote
            return folder
        raise AssertionError

    def release(self) -> None:
        """Unlock the folder: another process may go on with the run."""
        self._lock.release()

    @property
    def is_claimed(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock.is_locked

    def delete(self) -> None:
        """Delete what is kept of the run. The lock stays, for processes that try it at this moment."""
        for file in (self.checkpoint, self.mark, self.result):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.spool, ignore_errors=True)
