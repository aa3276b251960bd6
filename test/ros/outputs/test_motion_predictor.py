"""Where a target should be now."""

import numpy as np
import pytest

from samwise_ros.ros.outputs.motion_predictor import MotionPredictor


def test_constant_velocity_is_carried_on_up_to_the_horizon():
    predictor = MotionPredictor(horizon=0.5)
    assert predictor.predict(0.0) is None
    for number in range(10):
        predictor.add(10 + number / 20, np.array([0.1 * number, 0.0, 2.0 - 0.05 * number]))
    prediction = predictor.predict(10.45 + 0.2)
    np.testing.assert_allclose(prediction.velocity, [2.0, 0.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(prediction.position, [0.9 + 0.4, 0.0, 1.55 - 0.2], atol=1e-9)
    assert prediction.age == pytest.approx(0.2)
    assert predictor.predict(10.45 + 0.51) is None
    assert predictor.predict(10.4) is None


def test_a_clock_that_jumps_back_starts_the_prediction_afresh():
    predictor = MotionPredictor()
    predictor.add(10.0, np.zeros(3))
    predictor.add(10.1, np.ones(3))
    predictor.add(5.0, np.zeros(3))
    assert predictor.predict(5.1) is None


def test_only_recent_measurements_make_the_velocity():
    predictor = MotionPredictor(window=0.3)
    for number in range(20):  # still for a second, then moving
        predictor.add(number / 10, np.array([max(0.0, number - 10) / 10, 0.0, 0.0]))
    np.testing.assert_allclose(predictor.predict(1.9).velocity, [1.0, 0.0, 0.0], atol=1e-9)
