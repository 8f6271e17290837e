import dataclasses
import math
import time

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from project.data.dataset import Line, frames_needed
from project.recognition.batch import padded_width
from project.recognition.charset import BLANK, Charset
from project.recognition.line_image import normalize_line
from project.recognition.network import CRNN
from project.recognition.recognizer import Recognizer
from project.training import loop
from project.training.augmentation import sample_stretch
from project.training.loop import ctc_loss, epoch_batches, learning_rate, load_matching_weights, train
from project.training.parallel import replica_pool
from project.training.settings import Settings

SMALL = Settings(
    epochs=120,
    learning_rate=5e-3,
    patience=1000,
    channels=64,
    lstm_units=48,
    lstm_layers=1,
    augmentation=0,
    dropout=0,
    batch_width=400,
    ema_decay=0.95,
)


def written(text, charset):
    picture = Image.new("L", (20 + 14 * len(text), 40), 235)
    ImageDraw.Draw(picture).text((8, 4), text, fill=20, font=ImageFont.load_default(26))
    return Line(normalize_line(np.asarray(picture), SMALL.height), text, charset.encode(text))


@pytest.fixture(scope="module")
def charset():
    return Charset("abelot ")


@pytest.fixture(scope="module")
def handful(charset):
    return [written(text, charset) for text in ("a", "bob", "table", "to bell", "a boat", "lot", "belt", "oboe")]


def test_a_handful_of_lines_is_memorised(charset, handful):
    told = []
    network, history = train(SMALL, charset, handful, handful, lambda *epoch: told.append(epoch))
    assert history[-1]["val_cer"] == 0
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 10
    assert [number for number, _, _ in told] == list(range(1, len(history) + 1))
    assert told[-1][2] == [line.text for line in handful]
    assert not network.training


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(charset, handful):
    settings = dataclasses.replace(SMALL, epochs=3, augmentation=1.0, dropout=0.2)

    def losses(settings):
        return [figures["val_loss"] for figures in train(settings, charset, handful, handful)[1]]

    first = losses(settings)
    assert losses(settings) == first
    assert losses(dataclasses.replace(settings, seed=2)) != first


def test_the_figures_are_the_same_on_one_thread_and_on_several(charset, handful):
    settings = dataclasses.replace(SMALL, epochs=3, augmentation=1.0, dropout=0.2)
    everyone, losses = torch.get_num_threads(), []
    for number in (1, 2):
        torch.set_num_threads(number)
        losses.append([figures["val_loss"] for figures in train(settings, charset, handful, handful)[1]])
    torch.set_num_threads(everyone)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_thread_that_had_no_work_yet_keeps_its_share_of_torchs_threads():
    everyone = torch.get_num_threads()
    with replica_pool(2, torch.device("cpu")) as pool:
        pool.submit(int).result()  # the thread is there, and torch does not know of it yet
        torch.set_num_threads(everyone)  # as a validation leaves it
        assert pool.submit(torch.get_num_threads).result() == max(1, everyone // 2)


def test_a_killed_training_goes_on_from_its_checkpoint_as_if_nothing_had_happened(charset, handful, tmp_path):
    settings = dataclasses.replace(SMALL, epochs=4, augmentation=1.0, dropout=0.2)
    whole, history = train(settings, charset, handful, handful)

    class Killed(Exception):
        pass

    def kill(epoch, figures, predictions):
        if epoch == 2:
            raise Killed

    told = []
    with pytest.raises(Killed):
        train(settings, charset, handful, handful, kill, tmp_path / "checkpoint.pt")
    resumed, resumed_history = train(
        settings, charset, handful, handful, lambda *epoch: told.append(epoch[0]), tmp_path / "checkpoint.pt"
    )
    assert told == [2, 3, 4]
    assert [figures["val_loss"] for figures in resumed_history] == [figures["val_loss"] for figures in history]
    for kept, expected in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(kept, expected)


def test_training_stops_when_the_validation_split_reads_no_better(charset, handful):
    settings = dataclasses.replace(SMALL, epochs=50, learning_rate=1e-9, patience=3)
    assert len(train(settings, charset, handful, handful)[1]) == 4


def test_a_budget_in_minutes_ends_the_run_and_draws_in_the_schedule(charset, handful, monkeypatch):
    settings = dataclasses.replace(SMALL, epochs=100_000, minutes=2 / 60, patience=100_000)
    rate, told = loop.learning_rate, []
    monkeypatch.setattr(loop, "learning_rate", lambda *how: told.append(how[2]) or rate(*how))
    started = time.monotonic()
    assert 1 <= len(train(settings, charset, handful, handful)[1]) < 1000
    assert time.monotonic() - started > 2
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] > 0.1  # by the epochs, less than 0.01


def test_what_goes_wrong_on_a_thread_ends_the_training(charset, handful):
    class Torn(list):
        def __getitem__(self, index):
            raise OSError(f"line {index} cannot be read")

    everyone = torch.get_num_threads()
    with pytest.raises(OSError, match=r"line \d cannot be read"):
        train(SMALL, charset, Torn(handful), handful)
    assert torch.get_num_threads() == everyone


@pytest.mark.parametrize(("lines", "steps"), [(50, range(5, 7)), (600, range(50, 60)), (6000, range(225, 240))])
def test_a_batch_is_smaller_where_there_are_few_lines(lines, steps):
    cut = epoch_batches(np.full(lines, 300), Settings(batch_width=4096), 2, np.random.default_rng(0), short_first=False)
    assert len(cut) in steps
    assert sorted(np.concatenate([part for parts in cut for part in parts])) == list(range(lines))
    assert sum(len(parts) < 2 for parts in cut) <= 1  # what was left over


def test_batches_have_few_shapes_over_the_epochs():
    """For each of the 21 padded widths a number of lines, and a few on the way from one width to the next."""
    widths = np.random.default_rng(0).integers(200, 1000, 3000)
    shapes = set()
    for rng in map(np.random.default_rng, range(6)):
        stretched = widths * sample_stretch(len(widths), 0.5, rng)
        for parts in epoch_batches(stretched, Settings(), 2, rng, short_first=False):
            shapes |= {(len(part), padded_width(stretched[part].max())) for part in parts}
    assert len(shapes) < 32


def test_training_can_start_from_another_network_s_weights(charset, handful):
    network, _ = train(SMALL, charset, handful, handful)
    start = Recognizer.from_network(network, charset, SMALL.height)
    settings = dataclasses.replace(SMALL, epochs=1, learning_rate=1e-9)
    assert train(settings, charset, handful, handful, start=start)[1][0]["val_cer"] == 0
    assert train(settings, charset, handful, handful)[1][0]["val_cer"] > 0.5  # what it would be without


def test_another_charset_keeps_what_is_known_of_the_characters_that_both_hold(charset):
    torch.manual_seed(0)
    start = Recognizer.from_network(CRNN(len(charset), 64, 48, 1), charset, 36)
    wider = Charset("tab\u00e9")  # a, b and t are known, the last is not
    network = CRNN(len(wider), 64, 48, 1)
    new = network.head.weight[4].clone()
    load_matching_weights(network, wider, 36, start)
    for label, character in ((1, "t"), (2, "a"), (3, "b")):
        known = charset.encode(character)[0]
        assert torch.equal(network.head.weight[label], start.network.head.weight[known])
        assert torch.equal(network.shortcut.bias[label], start.network.shortcut.bias[known])
    assert torch.equal(network.head.weight[BLANK], start.network.head.weight[BLANK])
    assert torch.equal(network.head.weight[4], new)
    assert torch.equal(network.blocks[0].conv.weight, start.network.blocks[0].conv.weight)


@pytest.mark.parametrize("other", [{"height": SMALL.height + 8}, {"lstm_layers": SMALL.lstm_layers + 1}])
def test_a_start_of_another_shape_is_refused_in_words(charset, handful, other):
    start = Recognizer.from_network(
        CRNN(len(charset), SMALL.channels, SMALL.lstm_units, SMALL.lstm_layers), charset, SMALL.height
    )
    with pytest.raises(ValueError, match=r"start_from: that version has \{.height"):
        train(dataclasses.replace(SMALL, **other), charset, handful, handful, start=start)


def test_the_learning_rate_warms_up_and_ends_at_0():
    settings = Settings(learning_rate=1.0)
    assert learning_rate(settings, 0, 0.0) == pytest.approx(0.01)
    assert learning_rate(settings, 1000, 0.0) == 1
    assert learning_rate(settings, 1000, 0.5) == pytest.approx(0.5)
    assert learning_rate(settings, 1000, 1.0) == pytest.approx(0)


def test_the_loss_is_the_sum_over_all_paths():
    # Two frames, P(blank) = 0.6, P(a) = 0.4: the paths that say "a" have 0.24 + 0.24 + 0.16 = 0.64.
    log_probs = torch.tensor([[[0.6, 0.4]], [[0.6, 0.4]]]).log()
    loss = ctc_loss(log_probs, torch.tensor([1]), torch.tensor([2]), torch.tensor([1]))
    assert loss.item() == pytest.approx(-math.log(0.64))


def test_a_line_too_narrow_for_its_text_costs_nothing_rather_than_everything():
    log_probs = torch.zeros(2, 1, 3).log_softmax(2)
    loss = ctc_loss(log_probs, torch.tensor([1, 1]), torch.tensor([2]), torch.tensor([2]))
    assert frames_needed([1, 1]) == 3
    assert loss.item() == 0


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("epochs", 0, "at least 1, got 0"),
        ("learning_rate", -1, "at least 1e-09, got -1"),
        ("height", 4, "at least 8, got 4"),
        ("augmentation", -0.5, "at least 0, got -0.5"),
        ("augmentation", math.nan, "at least 0, got nan"),
        ("augmentation", 9, "at most 5, got 9"),
        ("weight_decay", 1.5, "at most 1, got 1.5"),
        ("dropout", 1, "at most 0.9, got 1"),
        ("ema_decay", 1, "at most 0.9999, got 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting, value, words):
    with pytest.raises(ValueError, match=f"{setting} must be {words}"):
        Settings(**{setting: value})


def test_a_loss_that_is_no_number_stops_the_run(charset, handful):
    with pytest.raises(ValueError, match="the loss is nan in epoch"):
        train(dataclasses.replace(SMALL, learning_rate=1e30), charset, handful, handful)


def test_the_time_left_is_at_the_pace_so_far():
    assert loop.time_left(60, 0.25) == "training ends in 03:00"  # 60 s for a quarter: 180 s for the rest
    assert loop.time_left(0, 0) == ""


def test_between_batches_the_caller_of_a_pool_has_one_thread():
    threads = torch.get_num_threads()
    with replica_pool(2, torch.device("cpu")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads
