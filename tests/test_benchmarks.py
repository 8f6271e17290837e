import json

from click.testing import CliRunner

from project.data import synthetic
from project.tracking.registry import BASE
from tests.benchmarks import active_learning, conditions, decoding, inference


def test_the_inference_benchmark_ends_with_its_figures_as_json(tmp_path):
    data = synthetic.synthesize(tmp_path, {"train": 10, "validation": 4, "test": 4}, seed=1, jobs=1)
    arguments = ["--data", str(data), "--threads", "1", "--engine", "onnxruntime"]
    ran = CliRunner().invoke(inference.main, arguments, catch_exceptions=False)
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert figures["threads"] == 1
    assert figures["lines_per_s"] == figures["onnxruntime_16_picture_to_text_lines_per_s"] > 0
    assert 50 < figures["peak_rss_mb"] < 1000
    assert figures["onnxruntime_16_differs"] < 1e-4


def test_the_decoding_benchmark_compares_decoders_on_made_up_log_probs_and_on_lines(tmp_path):
    data = synthetic.synthesize(tmp_path, {"train": 10, "validation": 4, "test": 4}, seed=1, jobs=1)
    for arguments, kinds in (([], ("peaked", "flat")), (["--data", str(data)], ("lines",))):
        ran = CliRunner().invoke(decoding.main, ["--runs", "1", *arguments], catch_exceptions=False)
        figures = json.loads(ran.stdout.splitlines()[-1])
        for kind in kinds:
            assert 0 < figures[f"{kind}_best_path_ms"] < figures[f"{kind}_beam_25_ngram_ms"]
            assert (f"{kind}_beam_25_ngram_cer" in figures) == bool(arguments)


def test_the_benchmark_of_active_learning_trains_on_each_choice_of_lines(tmp_path):
    data = synthetic.synthesize(tmp_path, {"train": 20, "validation": 2, "test": 2}, seed=1, jobs=1)
    arguments = ["--data", str(data), "--start", str(BASE), "--lines", "5,10", "--epochs", "1", "--threads", "1"]
    ran = CliRunner().invoke(active_learning.main, arguments, catch_exceptions=False)
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert figures["lines"] == 2
    for number in (5, 10):
        assert 0 <= figures[f"cer_{number}_by_chance"] < 0.5
        assert 0 <= figures[f"cer_{number}_least_certain"] < 0.5


def test_the_benchmark_of_conditions_ends_with_the_error_rate_of_each():
    ran = CliRunner().invoke(conditions.main, ["--draws", "1", "--sizes", "0.6"], catch_exceptions=False)
    figures = json.loads(ran.stdout.splitlines()[-1])
    for name in ("as_it_is", "dark_above", "shadow", "hue", "turned by 180"):
        assert figures[name].keys() == {"times 0.6", "along 0.6"}
    assert figures["reading_ms"] > 0
