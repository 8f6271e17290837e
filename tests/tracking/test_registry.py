import importlib.metadata
import subprocess
import sys

import mlflow
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from project.tracking import registry
from project.tracking.logged_models import PACKAGE, READER_NAME, REQUIREMENTS
from project.tracking.registry import TEST_INPUTS
from tests.conftest import ROOT, at

READ = """
import importlib.metadata, sys
from packaging.utils import canonicalize_name

homes, allowed = importlib.metadata.packages_distributions(), set(sys.argv[1].split())

class Elsewhere:
    def find_spec(self, name, path=None, target=None):
        home = {canonicalize_name(one) for one in homes.get(name.partition(".")[0], ())}
        if home and not home & allowed:
            raise ModuleNotFoundError(f"{name} is not there", name=name)

sys.meta_path.insert(0, Elsewhere())
from project.serving import cnn_text_identifier, handwriting_reader
from project.recognition.recognizer import Recognizer

recognizer, pictures = Recognizer.load("project/base"), [open(path, "rb").read() for path in sys.argv[2:]]
for row in handwriting_reader.read_pictures(recognizer, pictures, layout="auto", decoder="beam"):
    print(row["layout"], "/".join(row["text"].splitlines()))
"""


def all_that_come_with(*packages):
    """These packages and what pip installs with them."""
    found, waiting = set(), [Requirement(package) for package in packages]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += map(Requirement, importlib.metadata.requires(name) or ())
    return found


def test_a_version_reads_with_nothing_but_its_own_requirements():
    allowed = all_that_come_with(*REQUIREMENTS[READER_NAME])
    assert "rapidfuzz" not in allowed
    command = [sys.executable, "-c", READ, " ".join(sorted(allowed))]
    command += [str(min(TEST_INPUTS.glob("*.png"))), str(PACKAGE / "figures" / "letter.jpg")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    line, page = ran.stdout.splitlines()
    assert line.startswith("line ")
    assert page.startswith("page ")
    assert page.count("/") == 14


def test_base_is_registered_when_it_is_asked_for_in_a_run_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MLflow's folder of files
    with at(f"sqlite:///{tmp_path}/mlflow.db"):
        client = mlflow.MlflowClient()
        of_project = client.create_run(client.create_experiment("mlp")).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", of_project)  # as `mlflow run` has it
        mlflow.set_experiment("mlp")
        reader = registry.find_version("base", registry.READER_NAME)
        mlflow.log_metric("lines", 1)  # as a command logs later on
        mlflow.end_run()
        assert reader.name == registry.READER_NAME
        assert registry.find_version("base").tags[registry.READER_NAME] == str(reader.version)
        assert of_project not in {reader.run_id, registry.find_version("base").run_id}
        assert client.get_run(of_project).data.metrics == {"lines": 1}
        assert client.get_run(reader.run_id).info.status == "FINISHED"
        with pytest.raises(ValueError, match="or take the version base"):
            registry.find_version("latest", "unknown")
