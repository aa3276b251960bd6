"""A target's place in space, from masks and depth images whose truth is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from distorted_cameras import DISTORTED, project

from samwise_ros.messages.camera_model import Pinhole
from samwise_ros.messages.image_codec import image_to_depth
from samwise_ros.messages.localization import (
    CameraInfoError,
    DepthError,
    LocalizationSettings,
    TooFewPixelsError,
    localize,
)
from samwise_ros.structures import ConfigError, FrameError

CAMERA = Pinhole(width=160, height=120, fx=100.0, fy=110.0, cx=79.5, cy=59.5)
BEHIND = 3.0


def scene(near: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A board at rows 40..79, columns 60..109, 1 m away, before a wall; mask and depth."""
    mask = np.zeros((120, 160), bool)
    mask[40:80, 60:110] = True
    return mask, np.where(mask, np.float32(near), np.float32(BEHIND))


def ball(middle: tuple[float, float, float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Mask and depth of a ball, by intersecting each pixel's ray with it."""
    rows, columns = np.mgrid[0:120, 0:160]
    ray = np.stack([(columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy,
                    np.ones(rows.shape)], axis=-1)
    along, square = ray @ np.array(middle), (ray**2).sum(-1)
    root = along**2 - square * (np.dot(middle, middle) - radius**2)
    mask = root > 0
    depth = np.where(mask, (along - np.sqrt(np.maximum(root, 0))) / square, BEHIND)
    return mask, depth.astype(np.float32)


def test_a_flat_board_is_placed_to_the_millimetre_and_measured_to_the_pixel():
    place = localize(*scene(), CAMERA)
    expected = [(84.5 - CAMERA.cx) / CAMERA.fx, (59.5 - CAMERA.cy) / CAMERA.fy, 1.0]
    np.testing.assert_allclose(place.position, expected, atol=1e-3)
    np.testing.assert_allclose(place.centre, expected, atol=1e-3)
    np.testing.assert_allclose(place.size, [50 / CAMERA.fx, 40 / CAMERA.fy, 0.0], atol=1e-6)
    np.testing.assert_allclose(place.depth_quantiles, 1.0)
    assert place.num_valid == (50 - 6) * (40 - 6)


def test_millimetres_and_metres_give_the_same_place():
    mask, depth = scene(1.234)
    in_metres = localize(mask, depth, CAMERA)
    in_millimetres = localize(mask, np.round(depth * 1000).astype(np.uint16), CAMERA)
    np.testing.assert_allclose(in_millimetres.position, in_metres.position, atol=1e-6)


def test_the_near_side_of_a_ball_and_its_width_are_found():
    middle = np.array([0.2, -0.1, 1.5])
    place = localize(*ball(tuple(middle), 0.25), CAMERA)
    distance, range_ = np.linalg.norm(middle), np.linalg.norm(place.position)
    assert place.position @ middle / distance / range_ > np.cos(np.deg2rad(0.5))
    assert distance - 0.25 < range_ < distance - 0.125
    # Its rim, farther away, is eroded: a round target comes out an eighth too small.
    np.testing.assert_allclose(place.size[:2], 0.5, atol=0.065)
    assert place.depth_quantiles[0] == pytest.approx(1.25, abs=0.02)


def test_the_covariance_is_the_spread_of_the_points():
    place = localize(*ball((0.0, 0.0, 1.5), 0.25), CAMERA)
    np.testing.assert_allclose(place.covariance, place.covariance.T)
    assert np.all(np.linalg.eigvalsh(place.covariance) > 0)
    np.testing.assert_allclose(place.covariance, np.cov(place.points.T), rtol=1e-3, atol=1e-7)


def test_a_mask_that_is_too_wide_does_not_pull_the_target_towards_the_wall():
    mask, depth = scene()
    sloppy = mask.copy()
    sloppy[36:84, 52:118] = True
    np.testing.assert_allclose(localize(sloppy, depth, CAMERA).position[2], 1.0, atol=1e-6)


def test_mixed_depths_at_the_border_are_eroded_away():
    mask, depth = scene()
    board = np.s_[40:80, 60:110]
    inner = np.zeros_like(mask)
    inner[42:78, 62:108] = True
    depth[mask & ~inner] = 1.04  # within reach of the outlier rule
    assert depth[board].max() == np.float32(1.04)
    place = localize(mask, depth, CAMERA, LocalizationSettings(tolerance=0.05))
    np.testing.assert_allclose(place.depth_quantiles, 1.0)
    with_border = localize(mask, depth, CAMERA, LocalizationSettings(tolerance=0.05, erosion=0))
    assert with_border.depth_quantiles[-1] > 1.03


def test_invalid_depths_are_no_measurements():
    mask, depth = scene()
    clean = localize(mask, depth, CAMERA)
    holes = np.zeros_like(mask)
    holes[::2] = True
    for value in (np.nan, np.inf, -np.inf, 0.0, -1.0, 60.0):
        spoiled = np.where(holes & mask, np.float32(value), depth)
        place = localize(mask, spoiled, CAMERA)
        assert place.num_valid == clean.num_valid // 2
        np.testing.assert_allclose(place.position[2], 1.0)
    spoiled = np.where(holes & mask, 0, depth * 1000).astype(np.uint16)
    assert localize(mask, spoiled, CAMERA).num_valid == clean.num_valid // 2


def test_a_thin_target_keeps_its_border():
    mask = np.zeros((120, 160), bool)
    mask[60:62, 40:100] = True
    place = localize(mask, np.full((120, 160), 2, np.float32), CAMERA)
    assert place.num_valid == 120
    np.testing.assert_allclose(place.size[:2], [60 / 100 * 2, 2 / 110 * 2], rtol=1e-5)


def test_a_target_cut_off_by_the_picture_is_not_eroded_there():
    mask = np.zeros((120, 160), bool)
    mask[50:70, :20] = True
    place = localize(mask, np.ones((120, 160), np.float32), CAMERA)
    assert place.pixels[:, 1].min() == 0 and place.pixels[:, 1].max() == 19 - 3


def test_too_few_pixels_are_named_with_their_number():
    mask, depth = scene()
    depth[mask] = np.nan
    depth[60, 60:70] = 1.0
    with pytest.raises(TooFewPixelsError, match="at least 30 pixels with a depth, got 10 of"):
        localize(mask, depth, CAMERA)
    with pytest.raises(TooFewPixelsError, match="got 0 of the mask's 0"):
        localize(np.zeros_like(mask), depth, CAMERA)


@pytest.mark.parametrize("depth, says", [
    (np.float32(1500),
     "got 0 of the mask's 2000: 0 without a value (0, NaN), 0 nearer than 0.05 m, 2000"),
    (np.float32(1500),
     "farther than 20 m; median of the values 1500 m: millimetres in a 32FC1 image?"),
    (np.uint16(2),
     "2000 nearer than 0.05 m, 0 farther than 20 m; median of the values 0.002 m: metres in"),
    (np.float32(25), "2000 farther than 20 m; median of the values 25 m"),
    (np.float32(np.nan),
     "2000 without a value (0, NaN), 0 nearer than 0.05 m, 0 farther than 20 m; not"),
    (np.uint16(0),
     "2000 without a value (0, NaN), 0 nearer than 0.05 m, 0 farther than 20 m; not one"),
    (np.float32(-np.inf), "0 without a value (0, NaN), 2000 nearer than 0.05 m"),
    (np.float32(np.inf), "2000 farther than 20 m; not one value"),
])
def test_depths_that_cannot_be_used_are_counted_by_kind(depth, says):
    mask, wall = scene()
    with pytest.raises(TooFewPixelsError) as raised:
        localize(mask, np.full(wall.shape, depth), CAMERA)
    assert says in str(raised.value)
    assert ("image?" in str(raised.value)) == (depth in (1500, 2))


def test_a_large_target_is_thinned_out_evenly():
    mask, depth = scene()
    settings = LocalizationSettings(max_points=200)
    place = localize(mask, depth, CAMERA, settings)
    assert place.num_valid == 200 == len(np.unique(place.pixels, axis=0))
    np.testing.assert_allclose(place.position, localize(mask, depth, CAMERA).position, atol=0.01)


def test_sizes_that_differ_are_named():
    mask, depth = scene()
    with pytest.raises(DepthError, match="expected 160x120 like the image, got 80x60"):
        localize(mask, depth[::2, ::2], CAMERA)
    with pytest.raises(DepthError, match="expected uint16"):
        localize(mask, depth.astype(np.float64), CAMERA)
    with pytest.raises(CameraInfoError, match="expected 160x120 like depth, got 640x480"):
        localize(mask, depth, replace(CAMERA, width=640, height=480))


def test_inputs_are_not_changed():
    mask, depth = scene()
    kept = mask.copy(), depth.copy()
    localize(mask, depth, CAMERA)
    np.testing.assert_array_equal(mask, kept[0])
    np.testing.assert_array_equal(depth, kept[1])


def depth_message(encoding: str, values: np.ndarray, padding: int = 0, big: bool = False
                  ) -> SimpleNamespace:
    typed = np.ascontiguousarray(values.astype(values.dtype.newbyteorder(">" if big else "<")))
    rows = np.pad(typed.view(np.uint8), ((0, 0), (0, padding)))
    return SimpleNamespace(height=values.shape[0], width=values.shape[1], encoding=encoding,
                           is_bigendian=int(big), step=rows.shape[1], data=rows.tobytes())


@pytest.mark.parametrize(("encoding", "dtype"), [("16UC1", np.uint16), ("mono16", np.uint16),
                                                 ("32FC1", np.float32)])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 3, 8])
def test_depth_messages_keep_their_values(encoding, dtype, big, padding):
    values = (np.arange(35).reshape(5, 7) * 250).astype(dtype)
    decoded = image_to_depth(depth_message(encoding, values, padding, big))
    assert decoded.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(decoded, values)


def test_a_colour_image_on_the_depth_topic_is_named():
    with pytest.raises(FrameError, match="'bgr8' is not a depth image.*remapping of `depth`"):
        image_to_depth(depth_message("bgr8", np.zeros((4, 12), np.uint8)))


@pytest.mark.parametrize("changes", [{"erosion": -1}, {"min_pixels": 2}, {"min_depth": 30.0},
                                     {"outlier": 0.0}, {"max_points": 10}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match="got"):
        LocalizationSettings(**changes)


def test_another_frame_turns_position_covariance_and_points():
    place = localize(*ball((0.2, -0.1, 1.5), 0.25), CAMERA)
    to_base = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # optical -> x forward, z up
    moved = place.transformed(to_base, np.array([0.1, 0.0, 0.5]))
    x, y, z = place.position
    np.testing.assert_allclose(moved.position, [z + 0.1, -x, -y + 0.5])
    np.testing.assert_allclose(np.cov(moved.points.T), moved.covariance, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(moved.points.mean(axis=0), moved.position, atol=1e-5)
    assert np.all(np.abs(moved.centre - moved.position) < 0.1) and moved.size[1] > 0.3


@pytest.mark.parametrize("name", DISTORTED)
def test_a_board_in_the_corner_of_a_distorted_picture_is_placed_and_measured(name):
    """20 cm by 12 cm, 1 m away."""
    camera = DISTORTED[name]
    rows, columns = np.indices((camera.height, camera.width))
    x, y = camera.rays(rows.ravel(), columns.ravel()).T.reshape(2, *rows.shape)
    left, top = x[40, 60], y[40, 60]
    mask = (left <= x) & (x <= left + 0.2) & (top <= y) & (y <= top + 0.12)
    place = localize(mask, np.ones(mask.shape, np.float32), camera)
    pixel = np.abs([x[41, 61] - x[41, 60], y[42, 60] - y[41, 60]])
    np.testing.assert_allclose(place.centre, [left + 0.1, top + 0.06, 1.0], atol=pixel.max())
    np.testing.assert_allclose(place.size[:2], [0.2, 0.12], atol=1.5 * pixel.max())
    missed = project(camera, place.points.astype(float)) - place.pixels[:, ::-1]
    assert np.abs(missed).max() / camera.fx < 1e-3  # of every point of the cloud, 1 m away


def test_pixels_without_a_direction_are_no_measurements():
    """This polynomial folds back: what lies farther out than it reaches cannot be on the
    picture."""
    camera = Pinhole(640, 480, 400.0, 400.0, 320.0, 240.0, "plumb_bob", (-0.4, 0.2, 0, 0, -0.05))
    depth = np.ones((480, 640), np.float32)
    everything = np.ones(depth.shape, bool)
    place = localize(everything, depth, camera)
    np.testing.assert_allclose(project(camera, place.points.astype(float)), place.pixels[:, ::-1],
                               atol=0.2)
    corner = np.zeros_like(everything)
    corner[:20, :20] = True
    with pytest.raises(TooFewPixelsError, match="distortion of camera_info has no inverse"):
        localize(corner, depth, camera)
