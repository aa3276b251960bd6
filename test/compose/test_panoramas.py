"""Views into panoramas look where they say, in ordinary light."""

import base64
from pathlib import Path

import numpy as np
import pytest

from samwise_ros.compose.errors import ComposeError
from samwise_ros.compose.panoramas import SIZE, perspective, read_view


def panorama_with_mark(yaw: float, pitch: float) -> np.ndarray:
    """float32 [90, 180, 3]: gray, and a red mark in one direction; 2 degrees a pixel."""
    picture = np.full((90, 180, 3), 0.5, np.float32)
    row, column = int((90 - pitch) / 2), int(yaw % 360 / 2)
    picture[row - 2:row + 2, column - 2:column + 2] = (2.0, 0.0, 0.0)
    return picture


@pytest.mark.parametrize(("yaw", "pitch"), [(60, -20), (200, -30), (300, 10)])
def test_a_view_is_centred_where_it_looks(yaw: float, pitch: float) -> None:
    seen = perspective(panorama_with_mark(yaw, pitch), yaw, pitch)
    assert seen.shape == (SIZE[1], SIZE[0], 3)
    red = (seen[..., 0] > 150) & (seen[..., 1] < 60)
    rows, columns = np.nonzero(red)
    assert columns.mean() == pytest.approx(SIZE[0] / 2, abs=12)
    assert rows.mean() == pytest.approx(SIZE[1] / 2, abs=12)


def test_what_is_right_and_below_is_seen_there() -> None:
    seen = perspective(panorama_with_mark(100, -30), 80, -10)
    rows, columns = np.nonzero((seen[..., 0] > 150) & (seen[..., 1] < 60))
    assert columns.mean() > SIZE[0] * 0.6
    assert rows.mean() > SIZE[1] * 0.6


def test_the_tone_follows_the_median_and_never_overflows() -> None:
    bright, dim = (perspective(panorama_with_mark(0, 0) * scale, 0, 0) for scale in (100, 0.01))
    assert np.abs(bright.astype(int) - dim).max() <= 2
    assert 90 < np.median(bright) < 160


def test_a_view_comes_out_of_the_package(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR", reason="pip install OpenEXR")
    file = tmp_path / "x.exr"
    openexr.File({"type": openexr.scanlineimage}, {"RGB": panorama_with_mark(60, -20)}
                 ).write(str(file))
    text = base64.b64encode(file.read_bytes()).decode()
    (tmp_path / "room.exr.js").write_text(f"export default 'data:application/exr;base64,{text}'")
    seen = read_view(tmp_path, "npm:room.exr.js@60,-20")
    assert seen[SIZE[1] // 2, SIZE[0] // 2, 2] > 150  # BGR
    with pytest.raises(ComposeError, match="@pmndrs/assets"):
        read_view(tmp_path, "npm:other.exr.js@0,0")
