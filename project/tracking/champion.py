"""The champion of the registered versions: which is it, which were before, from when to when, and why.

MLflow keeps no history of an alias. So each promotion is a tag of the version that was promoted: its name is
`champion` and the time, its value the reason. Tags are only added: two trainings cannot overwrite each other's.
"""

from datetime import UTC, datetime

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

from project.errors import InputError
from project.tracking.logged_models import MODEL_NAME
from project.tracking.registry import check_version, set_alias
from project.tracking.store import is_not_found, machine_lock

ALIAS = "champion"
TAG = "champion."  # and the time in UTC, such as champion.2026-11-27T15:04:05.000123
ROLLED_BACK = "rolled back: "  # before the reason of a promotion that takes the last one back
BY_HAND = "the alias was set by other means"
COLUMNS = ["version", "from", "until", "why", "data", "digest", "code"]


def current() -> ModelVersion | None:
    """Return the champion; None if there is none."""
    try:
        return MlflowClient().get_model_version_by_alias(MODEL_NAME, ALIAS)
    except MlflowException as error:
        if not is_not_found(error):
            raise
        return None


def promote(version: ModelVersion, why: str, instead_of: ModelVersion | None) -> bool:
    """Make a version the champion, if the champion is still `instead_of`; return whether it was.

    Processes of one machine do it one after another. MLflow cannot compare and set an alias in one step: of two
    machines that come within the same milliseconds, the later one wins.
    """
    with machine_lock("champion", mlflow.get_tracking_uri()):
        now = current()
        if (now and int(now.version)) != (instead_of and int(instead_of.version)):
            return False
        time = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        MlflowClient().set_model_version_tag(version.name, version.version, f"{TAG}{time}", why)
        set_alias(version, ALIAS)
        return True


def rollback(why: str) -> ModelVersion:
    """Make the champion before this one the champion again, and return it. A second rollback goes back one further.

    Raise InputError if there was none before, or if it cannot be read any more.
    """
    now = current()
    line: list[int] = []  # the champions, of which a rollback takes the last one away
    for record in history().itertuples():
        if record.why.startswith(ROLLED_BACK) and record.version in line:
            del line[line.index(record.version) + 1 :]
        else:
            line.append(record.version)
    if not now or len(line) < 2:
        raise InputError(f"there is no champion before version {now.version if now else 'none'} to go back to")
    before = MlflowClient().get_model_version(MODEL_NAME, str(line[-2]))
    check_version(before)
    if not promote(before, f"{ROLLED_BACK}{why}", instead_of=now):
        raise InputError("another version was promoted at this moment: look at the history, and try again")
    return before


def history() -> pd.DataFrame:
    """Return a row for each time that a version was the champion, the first one first: `version`, `from` and `until`
    in UTC (`until` is empty for the one of now), `why`, the `data` that it was trained on with their `digest`, and the
    commit of the `code`.
    """
    found = MlflowClient().search_model_versions(f"name = '{MODEL_NAME}'")
    versions = {int(version.version): version for version in found}  # a number or a string, as the store has it
    records = sorted(
        (tag.removeprefix(TAG), number, why)
        for number, version in versions.items()
        for tag, why in version.tags.items()
        if tag.startswith(TAG)
    )
    now = current()
    if now and (not records or records[-1][1] != int(now.version)):
        records.append(("", int(now.version), BY_HAND))
    ends = [start for start, *_ in records[1:]] + [""] * bool(records)
    rows = [
        (number, start, end, why, versions[number].tags.get("data", ""), versions[number].tags.get("data_digest", ""),
         commit_of(versions[number]))
        for (start, number, why), end in zip(records, ends, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def commit_of(version: ModelVersion) -> str:
    """Return the commit of the code that made a version, "" where its run does not say or was deleted."""
    try:
        return MlflowClient().get_run(version.run_id or "").data.tags.get(MLFLOW_GIT_COMMIT, "")
    except MlflowException as error:
        if not is_not_found(error):
            raise
        return ""
