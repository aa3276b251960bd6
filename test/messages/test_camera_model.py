"""Pixels become directions through every lens that camera_info can describe."""

from types import SimpleNamespace

import numpy as np
import pytest
from distorted_cameras import DISTORTED, project

from samwise_ros.messages.camera_model import (
    CameraInfoError,
    LocalizationError,
    Pinhole,
    pinhole_from_info,
)

CAMERA = Pinhole(width=160, height=120, fx=100.0, fy=110.0, cx=79.5, cy=59.5)


def info(**changes: object) -> SimpleNamespace:
    """The fields of CameraInfo that are read."""
    window = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    k = [100.0, 0, 79.5, 0, 110.0, 59.5, 0, 0, 1]
    p = [90.0, 0, 80.0, 0, 0, 95.0, 60.0, 0, 0, 0, 1, 0]
    return SimpleNamespace(**{"width": 160, "height": 120, "d": [], "k": k, "p": p, "binning_x": 0,
                              "binning_y": 0, "roi": window} | changes)


def test_a_raw_image_follows_k_and_a_rectified_one_p():
    assert pinhole_from_info(info()) == CAMERA
    bent = info(d=[0.1, -0.2, 0, 0, 0])
    assert pinhole_from_info(bent, rectified=True) == Pinhole(160, 120, 90.0, 95.0, 80.0, 60.0)


def test_binning_and_windows_shift_the_intrinsics():
    window = SimpleNamespace(x_offset=40, y_offset=20, width=80, height=60)
    assert pinhole_from_info(info(roi=window)) == Pinhole(80, 60, 100.0, 110.0, 39.5, 39.5)
    assert pinhole_from_info(info(binning_x=2, binning_y=2)) == Pinhole(
        80, 60, 50.0, 55.0, 39.75, 29.75)


@pytest.mark.parametrize("k", [[0.0] * 9, [float("nan")] * 9, [-1.0, 0, 0, 0, -1, 0, 0, 0, 1]])
def test_an_uncalibrated_camera_is_named(k):
    with pytest.raises(CameraInfoError, match="calibrate the camera"):
        pinhole_from_info(info(k=k))
    assert issubclass(CameraInfoError, LocalizationError)


def info_of(camera: Pinhole, scale: int = 1) -> SimpleNamespace:
    """CameraInfo of a camera with `scale` times the resolution, whose pixels are binned to this
    one."""
    k = [camera.fx * scale, 0, camera.cx * scale, 0, camera.fy * scale, camera.cy * scale, 0, 0, 1]
    return info(width=camera.width * scale, height=camera.height * scale, k=k,
                distortion_model=camera.model, d=list(camera.distortion), binning_x=scale,
                binning_y=scale)


@pytest.mark.parametrize("binning", [1, 2])
@pytest.mark.parametrize("name", DISTORTED)
def test_points_at_the_corners_come_back_within_a_tenth_of_a_millimetre(name, binning):
    camera = DISTORTED[name]
    read = pinhole_from_info(info_of(camera, binning))
    assert read == camera
    corners = np.array([(x, y, 1.0) for x in (-0.5, 0.5) for y in (-0.37, 0.37)])
    columns, rows = project(camera, corners).T
    np.testing.assert_allclose(read.rays(rows, columns), corners[:, :2], atol=1e-4)
    bent = Pinhole(*(getattr(camera, field) for field in ("width", "height", "fx", "fy", "cx",
                                                          "cy")))
    assert np.abs(bent.rays(rows, columns) - corners[:, :2]).max() > 2e-3  # so it matters


def test_a_window_of_a_distorted_picture_sees_the_same_directions():
    camera = DISTORTED["plumb_bob"]
    message = info_of(camera)
    message.roi = SimpleNamespace(x_offset=400, y_offset=300, width=200, height=150)
    window = pinhole_from_info(message)
    assert (window.width, window.height) == (200, 150)
    rows, columns = np.array([0.0, 149.0]), np.array([0.0, 199.0])
    np.testing.assert_allclose(window.rays(rows, columns), camera.rays(rows + 300, columns + 400),
                               atol=1e-9)


def test_what_the_driver_says_decides_which_distortion_is_undone():
    bent = {"d": [0.1, -0.2, 0, 0, 0]}
    named = pinhole_from_info(info(distortion_model="plumb_bob", **bent))
    assert (named.model, named.distortion) == ("plumb_bob", (0.1, -0.2, 0.0, 0.0, 0.0))
    assert pinhole_from_info(info(**bent)) == named  # drivers that leave the name out mean it
    for model in ("plumb_bob", "rational_polynomial", "some_other"):
        assert pinhole_from_info(info(distortion_model=model, d=[0.0] * 5)) == CAMERA
    # r = theta is no pinhole.
    assert pinhole_from_info(info(distortion_model="equidistant", d=[0.0] * 4)).model


@pytest.mark.parametrize("model, d, reason", [
    ("thin_prism_fisheye", [0.1] * 4, "equidistant, got 'thin_prism_fisheye'; feed rectified"),
    ("x" * 10_000, [0.1], "got 'xxx"),
    ("plumb_bob", [0.1] * 3, r"expected 4 or 5 or 8 or 12 or 14 finite .* got \[0.1, 0.1, 0.1\]"),
    ("plumb_bob", [float("nan")] * 5, r"got \[nan"),
    ("plumb_bob", [0.1] * 5000, r"0.1\]\.\.\.: calibrate"),
    ("equidistant", [], r"expected 4 finite coefficients of equidistant, got \[\]"),
])
def test_a_distortion_that_is_not_known_is_refused_by_name(model, d, reason):
    with pytest.raises(CameraInfoError, match=reason) as raised:
        pinhole_from_info(info(distortion_model=model, d=d))
    assert len(str(raised.value)) < 450
    assert pinhole_from_info(info(distortion_model=model, d=d), rectified=True).fx == 90.0


def test_coefficients_of_any_size_give_directions_or_none():
    for size in (1e3, 1e30, 1e300):
        camera = Pinhole(160, 120, 100.0, 110.0, 79.5, 59.5, "plumb_bob", (size, -size, 0, 0, size))
        rays = camera.rays(np.array([0.0, 59.5]), np.array([0.0, 79.5]))
        assert rays.shape == (2, 2) and not np.isinf(rays).any()


@pytest.mark.parametrize("camera", [CAMERA, *DISTORTED.values()], ids=["plain", *DISTORTED])
def test_a_place_goes_to_the_pixel_whose_ray_meets_it(camera: Pinhole):
    for row, column in ((30.0, 40.0), (80.5, 110.25)):
        (x, y), = camera.rays(np.array([row]), np.array([column]))
        np.testing.assert_allclose(camera.project((2 * x, 2 * y, 2.0)), (column, row), atol=0.02)
    for behind in ((0, 0, 0), (0.1, 0, -1), (float("nan"), 0, 1)):
        with pytest.raises(LocalizationError, match="not in front"):
            camera.project(behind)
