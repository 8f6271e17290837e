"""The history of the champion, on versions that lead nowhere: only their tags and the alias count here."""

import mlflow
import pytest

from project.tracking import champion, registry
from tests.conftest import at


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with at(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"):
        yield mlflow.MlflowClient()


@pytest.fixture
def versions(store, tmp_path, monkeypatch):
    """Three registered versions; none is checked for its files."""
    monkeypatch.setattr(champion, "check_version", lambda version: None)
    for name in registry.TWINS:
        store.create_registered_model(name)
    tags = {"data": "unipen", "data_digest": "abc"}
    yield [store.create_model_version(registry.MODEL_NAME, f"file:{tmp_path}", tags=tags) for _ in range(3)]
    for name in registry.TWINS:
        store.delete_registered_model(name)


def champions():
    return [(row.version, row.why, row.until == "") for row in champion.history().itertuples()]


def test_without_a_champion_the_history_is_empty(versions):
    assert champion.current() is None
    assert champions() == []
    with pytest.raises(ValueError, match="no champion before version none"):
        champion.rollback("there is nothing")


def test_the_history_says_from_when_to_when_and_why_and_of_what_data(versions):
    first, second, _ = versions
    assert champion.promote(first, "the first", instead_of=None)
    assert champion.promote(second, "better", instead_of=first)
    assert champion.current().version == second.version
    history = champion.history()
    assert champions() == [(1, "the first", False), (2, "better", True)]
    assert history["from"].iloc[1] == history["until"].iloc[0]
    assert set(history["data"]) == {"unipen"}


def test_a_rollback_goes_back_to_the_one_before_and_the_next_one_further(versions):
    before = None
    for version in versions:
        champion.promote(version, "better", instead_of=before)
        before = version
    assert int(champion.rollback("it reads capitals badly").version) == 2
    assert int(champion.rollback("this too").version) == 1
    assert [version for version, _, _ in champions()] == [1, 2, 3, 2, 1]
    assert champions()[3][1] == "rolled back: it reads capitals badly"
    with pytest.raises(ValueError, match="no champion before version 1"):
        champion.rollback("further")


def test_an_alias_that_was_set_by_other_means_is_in_the_history(versions):
    champion.promote(versions[0], "the first", instead_of=None)
    mlflow.MlflowClient().set_registered_model_alias(registry.MODEL_NAME, "champion", "3")
    assert champions()[-1] == (3, champion.BY_HAND, True)


def test_who_compared_with_a_champion_that_is_no_longer_the_champion_does_not_promote(versions):
    first, second, third = versions
    champion.promote(first, "the first", instead_of=None)
    champion.promote(second, "of a training that ended meanwhile", instead_of=first)
    assert not champion.promote(third, "better than the first", instead_of=first)
    assert champion.current().version == second.version
