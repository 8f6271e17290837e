"""The script that MLflow stores with each version, under the name of its model, and runs to load it (model from code).

The versions in a process, and the checkout that it may run in, have packages of one name and different code. So the
version's own modules are imported beside those that are there, and then taken out of `sys.modules`: nothing else gets
them, and what it loaded before stays. (MLflow has put the version's `code` first in `sys.path`.)
"""

import importlib
import sys
from pathlib import Path

CODE = Path(__file__).resolve().parent / "code"  # none while the model is logged
PACKAGE = "project"


def project_modules() -> dict:
    """Return the modules of a package `project` that this process has imported."""
    return {name: module for name, module in sys.modules.items() if f"{name}.".startswith(f"{PACKAGE}.")}


others = project_modules()
is_own = not CODE.exists() or (others and Path(others[PACKAGE].__file__).resolve().is_relative_to(CODE))
if not is_own:  # else they are this version's, as in a process that serves it alone
    for name in others:
        del sys.modules[name]
    importlib.invalidate_caches()
importlib.import_module(f"{PACKAGE}.serving.{Path(__file__).stem}")  # calls `mlflow.models.set_model`
if not is_own:
    for name in project_modules():
        del sys.modules[name]
    sys.modules.update(others)
