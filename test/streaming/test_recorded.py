"""Answers stay what they were: streams recorded with an earlier form of the session."""

from pathlib import Path

import numpy as np
import pytest
from recorded_streams import MODELS, record, summary

from samwise_ros.model.tokenizer import ExpressionTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
FILE = Path(__file__).with_name("recorded_streams.npz")


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_recorded_ones(name: str, tiny_tokenizer: ExpressionTokenizer) -> None:
    with np.load(FILE) as recorded:
        expected = {key.removeprefix(f"{name}."): value for key, value in recorded.items()
                    if key.startswith(f"{name}.")}
    found = summary(record(MODELS[name](tiny_tokenizer)))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found[key], value, atol=1e-5, rtol=1e-5, err_msg=key)
        elif key == "area":  # a pixel on the edge may fall to either side
            np.testing.assert_allclose(found[key], value, atol=2)
        else:
            np.testing.assert_array_equal(found[key], value, err_msg=key)
