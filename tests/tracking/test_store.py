import subprocess
import sys

import mlflow

from project.tracking.store import EXPERIMENT_KIND, MODEL_TRAINING, experiment_id_of, mark_as_training
from tests.conftest import ROOT, at

FIRST = """
import sys, mlflow
from project.tracking.registry import find_version

mlflow.set_tracking_uri(sys.argv[1])
try:
    find_version("champion")
except ValueError as error:
    print(error)
"""


def test_of_two_first_commands_on_a_new_database_one_waits_for_the_other(tmp_path):
    command = [sys.executable, "-c", FIRST, f"sqlite:///{tmp_path}/mlflow.db"]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        said, _ = process.communicate()
        assert process.returncode == 0
        assert "nothing is registered there yet" in said


def test_an_experiment_is_one_that_the_ui_opens_as_model_training_unless_somebody_chose(tmp_path):
    with at(f"sqlite:///{tmp_path}/mlflow.db"):
        client, made = mlflow.MlflowClient(), experiment_id_of("handwriting")
        assert experiment_id_of("handwriting") == made
        assert client.get_experiment(made).tags[EXPERIMENT_KIND] == MODEL_TRAINING
        client.set_experiment_tag(made, EXPERIMENT_KIND, "genai_development")
        mark_as_training(made)
        assert client.get_experiment(made).tags[EXPERIMENT_KIND] == "genai_development"
