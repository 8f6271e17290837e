import json

from click.testing import CliRunner

from project import synthetic
from tests.benchmarks import inference


def test_the_inference_benchmark_ends_with_its_figures_as_json(tmp_path):
    data = synthetic.synthesize(tmp_path, {"train": 10, "validation": 4, "test": 4}, seed=1, jobs=1)
    arguments = ["--data", str(data), "--threads", "1", "--engine", "onnxruntime"]
    ran = CliRunner().invoke(inference.main, arguments, catch_exceptions=False)
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert figures["threads"] == 1
    assert figures["lines_per_s"] == figures["onnxruntime_16_picture_to_text_lines_per_s"] > 0
    assert 50 < figures["peak_rss_mb"] < 1000
    assert figures["onnxruntime_16_differs"] < 1e-4
