"""Cameras with the lens distortions that drivers send, and OpenCV's projection onto their
pictures."""

import cv2
import numpy as np

from samwise_ros.messages.camera_model import Pinhole

_SHAPE = (640, 480, 600.0, 605.0, 318.5, 243.0)
DISTORTED = {
    "plumb_bob": Pinhole(*_SHAPE, "plumb_bob", (-0.0517, 0.0564, -0.0008, 0.00137, -0.0187)),
    "strong plumb_bob": Pinhole(*_SHAPE, "plumb_bob", (-0.35, 0.15, 0.001, -0.001, -0.03)),
    "four coefficients": Pinhole(*_SHAPE, "plumb_bob", (-0.2, 0.05, 0.001, -0.0005)),
    "rational_polynomial": Pinhole(*_SHAPE, "rational_polynomial", (
        0.5386, -2.7337, 0.00063, -0.00023, 1.5586, 0.4162, -2.5570, 1.4850)),
    "equidistant": Pinhole(640, 480, 280.0, 281.0, 318.5, 243.0, "equidistant",
                           (-0.02, 0.004, -0.001, 0.0002)),
}


def project(camera: Pinhole, points: np.ndarray) -> np.ndarray:
    """Points [N, 3] in the optical frame -> columns and rows [N, 2]."""
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    function = cv2.fisheye.projectPoints if camera.model == "equidistant" else cv2.projectPoints
    pixels, _ = function(points.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), matrix,
                         np.array(camera.distortion))
    return pixels.reshape(-1, 2)
