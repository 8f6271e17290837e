import numpy as np
import pytest

from project.recognition.calibration import (
    Calibration,
    apply_temperature,
    expected_calibration_error,
    expected_ece_if_calibrated,
    fit_temperature,
    fit_temperature_and_power,
    reliability,
)


def test_a_calibration_error_on_paper():
    # Bins of 0.1: two lines at 0.95, one right (0.5); two lines at 0.25, none right (0).
    # 2/4 * |0.5 - 0.95| + 2/4 * |0 - 0.25| = 0.225 + 0.125
    confidences, right = [0.95, 0.95, 0.25, 0.25], [True, False, False, False]
    assert expected_calibration_error(confidences, right) == pytest.approx(0.35)
    table = reliability(confidences, right)
    assert table[9] == pytest.approx([2, 0.95, 0.5])
    assert table[2] == pytest.approx([2, 0.25, 0])
    assert table[[0, 1, 3, 4, 5, 6, 7, 8]].sum() == 0


def test_to_be_certain_and_right_is_no_error():
    assert expected_calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0


def test_an_error_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one confidence"):
        expected_calibration_error([], [])


def test_by_chance_a_few_lines_show_an_error_though_there_is_none():
    # One line at 0.75: right in 3 of 4 draws, 0.25 off, else 0.75: in the mean 3/4 * 0.25 + 1/4 * 0.75.
    assert expected_ece_if_calibrated([0.75]) == pytest.approx(0.375, rel=0.15)
    confidences = np.random.default_rng(1).random(4_000)
    assert 0.005 < expected_ece_if_calibrated(confidences) < 0.03
    assert expected_ece_if_calibrated(confidences[:100]) > 3 * expected_ece_if_calibrated(confidences)
    assert expected_ece_if_calibrated([0.0, 1.0]) == 0


def test_a_temperature_takes_away_too_much_confidence():
    rng = np.random.default_rng(0)
    honest = rng.random(4_000)
    right = rng.random(4_000) < honest
    boasting = honest**0.4  # what it says, to the power 1 / 0.4, is honest
    temperature = fit_temperature(boasting, right)
    assert temperature == pytest.approx(0.4, rel=0.1)
    assert expected_calibration_error(boasting, right) > 0.15
    assert expected_calibration_error(apply_temperature(boasting, temperature), right) < 0.03


def test_a_beam_that_is_too_sure_is_held_back_by_what_the_network_says():
    rng = np.random.default_rng(0)
    network = np.log(rng.random(8_000))
    share = rng.random(8_000)
    right = rng.random(8_000) < share**0.5 * np.exp(0.3 * network)
    temperature, power = fit_temperature_and_power(share, network, right)
    assert temperature == pytest.approx(2, rel=0.15)
    assert power == pytest.approx(0.3, rel=0.3)
    calibrated = Calibration(temperature, power=power).of_lines(share, network)
    assert expected_calibration_error(calibrated, right) < 0.03
    assert fit_temperature_and_power([], [], []) == (1, 0)


def test_a_calibration_on_paper():
    # 0.25 ** (1 / 2) * exp(0.5 * log 0.16) = 0.5 * 0.4
    assert Calibration(line=2, power=0.5).of_lines([0.25], [np.log(0.16)]) == pytest.approx([0.2])
    assert Calibration().of_lines([0.25]) == pytest.approx([0.25])


def test_without_outcomes_probabilities_stay_as_they_are():
    assert apply_temperature(0.3, fit_temperature([], [])) == pytest.approx(0.3)


@pytest.mark.parametrize("right", [True, False])
def test_a_few_lines_that_are_all_right_or_all_wrong_do_not_make_every_line_so(right):
    probabilities, outcomes = [0.3, 0.6, 0.9], [right] * 3
    temperature = fit_temperature(probabilities, outcomes)
    assert 0.1 < apply_temperature(0.5, temperature) < 0.9
    assert (temperature > 1) == right
    temperature, power = fit_temperature_and_power(probabilities, np.log(probabilities), outcomes)
    assert 0.1 < Calibration(temperature, power=power).of_lines([0.5], [np.log(0.5)])[0] < 0.9
    many = fit_temperature(probabilities * 1000, outcomes * 1000)
    assert (apply_temperature(0.5, many) > 0.95) if right else (apply_temperature(0.5, many) < 0.05)
