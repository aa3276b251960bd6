"""cv_bridge for encodings that our codec doesn't know: equal where both do, and never the node's
end."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samwise_ros.messages.image_codec import ENCODINGS, image_to_rgb
from samwise_ros.ros.inputs import cv_bridge_codec
from samwise_ros.ros.inputs.cv_bridge_codec import any_image_to_rgb
from samwise_ros.structures import FrameError

ROOT = Path(__file__).resolve().parents[3]
# Encodings are hidden from our codec by an upper-case letter, which it does not know.
WORKING = """
class CvBridge:
    def imgmsg_to_cv2(self, message, desired):
        import numpy as np
        assert desired == "rgb8"
        if message.encoding not in ("bgr8", "BGR8"):
            raise TypeError(message.encoding + " is not a color format")
        return np.frombuffer(message.data, np.uint8).reshape(message.height, -1, 3)[..., ::-1]
"""


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    """Puts a cv_bridge of the given text in place of any that is installed."""
    def install(text: str) -> None:
        (tmp_path / "cv_bridge.py").write_text(text)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    cv_bridge_codec._fault.cache_clear()
    yield install
    sys.modules.pop("cv_bridge", None)
    cv_bridge_codec._fault.cache_clear()


def message(encoding: str) -> SimpleNamespace:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    return SimpleNamespace(height=4, width=6, encoding=encoding, is_bigendian=0, step=18,
                           data=pixels.tobytes())


def test_what_our_codec_does_not_know_is_decoded_by_cv_bridge(bridge):
    pytest.importorskip("sensor_msgs.msg", reason="needs ROS 2")
    bridge(WORKING)
    rgb = any_image_to_rgb(message("BGR8"))
    np.testing.assert_array_equal(rgb, image_to_rgb(message("bgr8")))
    assert rgb.flags.c_contiguous
    with pytest.raises(FrameError,
                       match=r"'8SC3' \(cv_bridge: 8SC3 is not a color format\); known"):
        any_image_to_rgb(message("8SC3"))


@pytest.mark.parametrize("text, reason", [
    ("import os\nos.abort()", "exit code -6"),  # as some builds for NumPy 1 beside NumPy 2
    ("raise ImportError('numpy.core.multiarray failed')", "numpy.core.multiarray failed"),
    (WORKING.replace("::-1", ":"), "came out wrong"),
])
def test_a_cv_bridge_that_does_not_work_is_named_and_not_used(bridge, text, reason):
    pytest.importorskip("sensor_msgs.msg", reason="needs ROS 2")
    bridge(text)
    with pytest.raises(FrameError, match=f"'BGR8' \\(cv_bridge does not work here: .*{reason}"):
        any_image_to_rgb(message("BGR8"))


def test_without_cv_bridge_the_encoding_is_refused_by_name():
    code = ("import sys; sys.modules['cv_bridge'] = None\n"
            "from importlib import util; util.find_spec = lambda name: None\n"
            "from samwise_ros.ros.inputs.cv_bridge_codec import decode_by_cv_bridge as decode\n"
            "decode(None)")
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                         check=False)
    assert "FrameError: cv_bridge is not installed" in run.stderr


def test_cv_bridge_decodes_as_our_codec_does():
    """Where the real one is installed; it knows fewer encodings than we do."""
    pytest.importorskip("cv_bridge", reason="cv_bridge for ROS 2 comes with ROS from apt only")
    if cv_bridge_codec._fault():
        pytest.skip(cv_bridge_codec._fault())
    compared = set()
    for encoding in ENCODINGS:
        image, tolerance = smooth_image(encoding)
        try:
            theirs = cv_bridge_codec.decode_by_cv_bridge(image)
        except FrameError:  # unknown to this version
            continue
        difference = np.abs(image_to_rgb(image).astype(int) - theirs)
        assert difference.max() <= tolerance, encoding
        compared.add(encoding)
    assert compared >= {"rgb8", "bgr8", "rgba8", "bgra8", "mono8"}


def smooth_image(encoding: str) -> tuple[object, int]:
    """A tight message of 38x24 pixels, and by how much the decoders' rounding may differ."""
    from sensor_msgs.msg import Image

    rows, columns = np.mgrid[0:24, 0:38]
    values = np.stack([rows * 9, columns * 6, 200 - rows * 2, 40 + columns], -1).astype(np.uint8)
    size = next((n for key, n in (("rgba", 4), ("bgra", 4), ("C4", 4), ("rgb", 3), ("bgr", 3),
                                  ("C3", 3), ("yu", 2), ("uyvy", 2)) if key in encoding), 1)
    deep = "16" in encoding
    pixels = values[..., :size].astype(np.uint16) * 257 if deep else values[..., :size]
    data = pixels.tobytes() * (3 if encoding.startswith("nv") else 1)  # at least as long as needed
    return Image(height=24, width=38, encoding=encoding, step=38 * size * (1 + deep),
                 data=data), deep
