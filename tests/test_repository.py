"""What the files at the top level promise each other."""

import ast
import importlib
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from project.handover import transcription_of
from project.recognition.image import read_image
from project.tracking.registry import TEST_INPUTS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "project/docs").glob("*.md"))]


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(ROOT / "handwriting_classifier.ipynb", as_version=4)


def entry_points():
    return yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def test_the_notebook_and_the_main_entry_point_have_the_same_parameters(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assigned = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell.source).body}
    assert assigned == {name: value["default"] for name, value in entry_points()["main"]["parameters"].items()}


@pytest.mark.parametrize("name", entry_points())
def test_defaults_are_in_mlproject_alone_or_the_same_in_the_command(name):
    """A command that torchrun starts without MLproject has two."""
    entry_point = entry_points()[name]
    module = re.match(r"python -m (\S+)", entry_point["command"])[1]
    options = {option.name: option for option in importlib.import_module(module).main.params}
    passed = dict(re.findall(r"(--[a-z-]+)=\{(\w+)\}", entry_point["command"]))
    assert set(passed.values()) == set(entry_point["parameters"])
    for option in options.values():
        if not option.required:
            default = entry_point["parameters"][passed[option.opts[0]]]["default"]
            assert option.default == type(option.default)(default)


def test_the_notebook_is_committed_as_one_clean_run(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def test_every_requirement_is_pinned_and_python_env_takes_them_all():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for line in lines)
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    assert environment["dependencies"] == ["-r requirements.txt"]
    assert re.fullmatch(r"3\.11\.\d+", environment["python"])


def test_the_commands_page_names_every_entry_point_and_every_parameter():
    commands = (ROOT / "project/docs/commands.md").read_text()
    for name, entry_point in entry_points().items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", commands, re.MULTILINE)
        assert all(f"`{parameter}`" in row for parameter in entry_point["parameters"])


def test_the_readme_names_every_entry_point_and_has_at_most_200_lines():
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in entry_points())
    assert len(readme.splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_page_that_a_page_shows_or_links_is_there(page):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    for target in targets:
        assert "://" in target or (page.parent / target).exists(), target


def test_every_test_input_is_a_picture_with_its_transcription():
    pictures = sorted(TEST_INPUTS.glob("*.png"))
    assert len(pictures) >= 10
    for picture in pictures:
        assert min(read_image(picture).shape) >= 30
        assert transcription_of(picture)


def test_nothing_of_the_project_can_be_made_to_unpickle():
    for path in (ROOT / "project").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not imported & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("joblib.load", "np.load", "numpy.load", "pd.read_pickle", "torch.jit.load"), path
                if called == "torch.load":
                    assert "weights_only=True" in map(ast.unparse, node.keywords), path


def test_every_server_is_for_this_machine_alone_unless_told_otherwise():
    hosts = [
        value["parameters"]["host"]["default"] for value in entry_points().values() if "host" in value["parameters"]
    ]
    assert hosts
    assert set(hosts) == {"127.0.0.1"}
    commands = [line for page in PAGES for line in re.findall(r"^mlflow server .*$", page.read_text(), re.MULTILINE)]
    assert commands
    assert all("--host 127.0.0.1" in command for command in commands)


def test_the_container_has_the_versions_that_the_project_has():
    pinned = (ROOT / "requirements.txt").read_text().replace("mlflow==", "mlflow-skinny==").splitlines()
    lines = [one for one in (ROOT / "project/container/requirements.txt").read_text().splitlines() if one[0] != "#"]
    assert set(lines) <= set(pinned)
    assert not [line for line in lines if line.startswith("torch")]
