"""Versions of different code, and the checkout, in one process: all of them call their package `project`."""

import shutil
import subprocess
import sys

from tests.conftest import ROOT

LOAD = """
import sys, mlflow
import project.recognition.recognizer as ours  # of the checkout

for folder in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(folder)
    model.predict(model.input_example)
    code = type(model.unwrap_python_model().recognizer).load.__code__.co_filename
    print(code.startswith(folder), "project.of_that_version" in sys.modules, sys.modules[ours.__name__] is ours)
"""


def test_each_version_has_its_own_code_and_the_process_keeps_its_own(models, tmp_path):
    first, second = models["cnn_text_identifier"].rstrip("/"), str(tmp_path / "second")
    shutil.copytree(first, second)
    package = tmp_path / "second" / "code" / "project"
    (package / "of_that_version.py").touch()
    package.joinpath("__init__.py").write_text("import project.of_that_version")
    ran = subprocess.run([sys.executable, "-c", LOAD, first, second], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["True False True"] * 2
