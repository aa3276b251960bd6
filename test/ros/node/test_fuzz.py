"""Ten thousand messages that no camera should send, over DDS, against nodes in other processes.

Each block holds one kind of message. After it the node must answer a good frame, and what was wrong
must be on the log: every block, and no place in the code more than once a second.
"""

import re
import string
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from ros_processes import TIMEOUT, Client, RosProcess, new_domain
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header, String

from samwise_ros.messages.image_codec import ENCODINGS
from samwise_ros.ros.outputs.conversions import rgb_to_msg

HEIGHT, WIDTH = 24, 32
LARGEST = 2**32 - 1
CHUNK = 50  # messages between two looks at what comes back
BLOCK_SECONDS = 1.4  # the log names one failure of a place per second
DEEP = QoSProfile(depth=2000)  # reliable, and nothing is overwritten before it is sent


class Fuzzer(Client):
    """Sends blocks of messages and good frames."""

    def __init__(self, domain: int, process: RosProcess, name: str = "samwise") -> None:
        super().__init__(domain, f"/{name}")
        self.process = process
        self.sent = 0
        self.random = np.random.default_rng(sum(name.encode()))
        self.poses: list[PoseStamped] = []
        self.node.create_subscription(PoseStamped, f"/{name}/target_pose", self.poses.append, 10)
        self.node.create_subscription(PointCloud2, f"/{name}/target_cloud", lambda _: None, 10)
        self.publishers = {
            topic: self.node.create_publisher(kind, topic, DEEP) for topic, kind in (
                ("image", Image), ("depth", Image), ("camera_info", CameraInfo),
                ("command", String), ("image/compressed", CompressedImage))}

    def header(self) -> Header:
        return Header(stamp=self.node.get_clock().now().to_msg(), frame_id="camera")

    def block(self, count: int, make: Callable[[], dict[str, object]], chunk: int = CHUNK) -> None:
        """Send what `make` makes (messages by topic) until `count` are sent, not all at once."""
        began, end = time.monotonic(), self.sent + count
        chunks = range(0, count, chunk)
        for number, _ in enumerate(chunks):
            target = min(end, self.sent + chunk)
            while self.sent < target:
                for topic, message in make().items():
                    self.publishers[topic].publish(message)
                    self.sent += 1
            due = began + BLOCK_SECONDS * (number + 1) / len(chunks)
            self.spin(max(0.01, due - time.monotonic()))

    def expect_answer(self, publisher: Publisher, make: Callable[[Header], object]) -> None:
        """Send good frames until one of them has been answered with a mask."""
        headers, deadline = [], time.monotonic() + TIMEOUT
        while not any(mask.header in headers and any(mask.data) for mask in self.masks[-200:]):
            assert self.process.alive, self.process.text[-3000:]
            assert time.monotonic() < deadline, f"not answered:\n{self.process.text[-3000:]}"
            headers.append(self.header())
            publisher.publish(make(headers[-1]))
            self.spin(0.2)
        self.masks.clear()
        self.targets.clear()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Fuzzer]]:
    opened: list = []

    def open_node(name: str, *parameters: str) -> Fuzzer:
        domain = new_domain()
        arguments = [part for parameter in (*parameters, "image_qos:=reliable", "process_all:=true",
                                            "queue_size:=10000", "expression:=the red thing")
                     for part in ("-p", parameter)]
        process = RosProcess(["test/helpers/ros_standin_node.py", "--ros-args", "-r",
                              f"__node:={name}", *arguments], domain, tmp_path / f"{name}.log")
        fuzzer = Fuzzer(domain, process, name)
        opened.extend((process.kill, fuzzer.close))
        fuzzer.lifecycle.run("up")
        return fuzzer

    yield open_node
    for close in reversed(opened):
        close()


def red() -> np.ndarray:
    """An image that is all target."""
    return np.full((HEIGHT, WIDTH, 3), (255, 0, 0), np.uint8)


class BadImages:
    """Makes images with one thing wrong."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        self._fuzzer = fuzzer
        self._random = fuzzer.random

    def image(self, **changes: object) -> dict[str, Image]:
        """A good image but for the changes."""
        fields = {"header": self._fuzzer.header(), "height": HEIGHT, "width": WIDTH,
                  "encoding": "mono8", "step": WIDTH, "is_bigendian": 0,
                  "data": array("B", self._random.bytes(HEIGHT * WIDTH))}
        return {"image": Image(**fields | changes)}

    def any_encoding(self) -> dict[str, Image]:
        """Good ones of random encoding, size, step, byte order and content."""
        encoding = str(self._random.choice(ENCODINGS))
        height, width = int(self._random.integers(1, HEIGHT)), 2 * int(self._random.integers(1, 16))
        step = 8 * width + int(self._random.integers(0, 9))
        return self.image(encoding=encoding, height=height, width=width, step=step,
                          is_bigendian=int(self._random.integers(0, 256)),
                          data=array("B", self._random.bytes(height * step)))

    def unknown_encoding(self) -> dict[str, Image]:
        length = int(self._random.choice([0, 1, 5, 5000]))
        return self.image(encoding=junk(self._random, length) + "?")

    def depth_encoding(self) -> dict[str, Image]:
        return self.image(encoding=str(self._random.choice(["32FC1", "16UC1", "64FC1"])))

    def short_step(self) -> dict[str, Image]:
        return self.image(encoding="bgr8", step=int(self._random.integers(0, 3 * WIDTH)))

    def no_pixels(self) -> dict[str, Image]:
        sides = [(0, WIDTH), (HEIGHT, 0), (0, 0), (0, LARGEST)]
        height, width = sides[self._random.integers(len(sides))]
        return self.image(height=height, width=width, step=int(self._random.integers(0, 99)),
                          data=array("B", self._random.bytes(int(self._random.integers(0, 20)))))

    def short_data(self) -> dict[str, Image]:
        size = int(self._random.integers(0, HEIGHT * WIDTH))
        return self.image(data=array("B", self._random.bytes(size)))

    def odd_width(self) -> dict[str, Image]:
        encoding = str(self._random.choice(["yuv422", "uyvy", "yuyv", "yuv422_yuy2"]))
        return self.image(encoding=encoding, width=WIDTH // 2 - 1)

    def huge(self) -> dict[str, Image]:
        return self.image(height=LARGEST - int(self._random.integers(0, 9)), step=LARGEST,
                          width=int(self._random.integers(WIDTH, LARGEST // 8)))

    def wild_stamp(self) -> dict[str, Image]:
        stamp = Time(sec=int(self._random.integers(-2**31, 2**31)),
                     nanosec=int(self._random.integers(0, 2**32)))
        return self.image(header=Header(stamp=stamp, frame_id=junk(self._random, 20)))


def junk(random: np.random.Generator, length: int) -> str:
    """Text of any characters that UTF-8 has."""
    letters = np.array([*string.printable, *"\u00e9\u00fc\u676f\U0001f916\u202e"])
    return "".join(random.choice(letters, length))


class BadDepth:
    """Makes images of a target with depth and camera_info of the same stamp, one of them wrong."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        self._fuzzer = fuzzer
        self._random = fuzzer.random

    def frame(self, depth: dict[str, object], info: dict[str, object]) -> dict[str, object]:
        header = self._fuzzer.header()
        metres = np.full((HEIGHT, WIDTH), 2.0, np.float32).tobytes()
        depth = {"height": HEIGHT, "width": WIDTH, "encoding": "32FC1", "step": 4 * WIDTH,
                 "data": array("B", metres)} | depth
        info = {"height": HEIGHT, "width": WIDTH, "k": [40.0, 0.0, 16.0, 0.0, 40.0, 12.0, 0.0, 0.0,
                                                       1.0]} | info
        return {"camera_info": CameraInfo(header=header, **info),
                "depth": Image(header=header, **depth), "image": rgb_to_msg(red(), header)}

    def unmeasured(self) -> dict[str, object]:
        values = self._random.choice(
            np.float32([np.nan, np.inf, -np.inf, 0, -1, 1e38]), (HEIGHT, WIDTH))
        return self.frame({"data": array("B", values.tobytes())}, {})

    def bad_depth(self) -> dict[str, object]:
        changes = [{"encoding": "rgb8"}, {"encoding": junk(self._random, 300)}, {"step": 3},
                   {"height": 0}, {"height": HEIGHT // 2}, {"data": array("B", b"12345")},
                   {"is_bigendian": 255}, {"width": LARGEST, "step": LARGEST}]
        return self.frame(changes[self._random.integers(len(changes))], {})

    def bad_info(self) -> dict[str, object]:
        zeros, nans = [0.0] * 9, [float("nan")] * 9
        changes = [{"k": zeros}, {"k": nans}, {"width": WIDTH + 1}, {"height": LARGEST},
                   {"d": [0.1] * 5000}, {"d": [float("nan")] * 5}, {"binning_x": LARGEST},
                   {"k": [-40.0, *zeros[1:]]}]
        return self.frame({}, changes[self._random.integers(len(changes))])


def check_log(text: str) -> None:
    """No place of the code may have written more often than once a second, nor at length."""
    assert "Traceback" not in text
    written = defaultdict(list)
    for line in text.splitlines():
        assert len(line) < 1500, line[:300]
        found = re.match(r"\[(?:WARN|ERROR)\] \[([\d.]+)\] \[\w+\]: ([^:]*(?:: memory reset)?)",
                         line)
        if found:
            written[found[2]].append(float(found[1]))
    for place, stamps in written.items():
        # One each second from the first to the last, and one for a line that was written late.
        assert len(stamps) <= stamps[-1] - stamps[0] + 2, (place, len(stamps))


IMAGES = (  # method of BadImages, how many, what the log says
    ("unknown_encoding", 700, "frame not answered: unknown image encoding"),
    ("depth_encoding", 600, "is a depth image: the `image` topic expects"),
    ("short_step", 700, "frame not answered: step: expected at least 96"),
    ("no_pixels", 600, "frame not answered: empty image: expected at least 1x1"),
    ("short_data", 700, "frame not answered: data: expected 768 bytes"),
    ("odd_width", 500, "needs an even width, got 15"),
    ("huge", 500, "frame not answered: data: expected "),
    ("wild_stamp", 300, ""),
    ("any_encoding", 1400, "memory reset: images changed from"),
)
DEPTHS = (
    ("unmeasured", 300, ""),
    ("bad_depth", 600, "targets not placed: "),
    ("bad_info", 600, "targets not placed: "),
)
COMMANDS, GARBAGE = 2000, 1000
assert sum(count for _, count, _ in IMAGES + DEPTHS) + COMMANDS + GARBAGE >= 10_000


@pytest.mark.timeout(600)
def test_bad_images_depths_and_commands_are_named_and_survived(start):
    fuzzer = start("samwise")
    good = fuzzer.publishers["image"]

    def answered() -> None:
        fuzzer.expect_answer(good, lambda header: rgb_to_msg(red(), header))

    fuzzer.wait_for_camera_match()
    answered()
    for makers, blocks, chunk in ((BadImages(fuzzer), IMAGES, CHUNK),
                                  (BadDepth(fuzzer), DEPTHS, 6)):
        for name, count, named in blocks:
            before = len(fuzzer.process.text)
            fuzzer.block(count, getattr(makers, name), chunk)
            answered()
            assert named in fuzzer.process.text[before:], name
    fuzzer.block(COMMANDS, lambda: {"command": String(data=bad_command(fuzzer.random))})
    for text, named in (("x" * 2**20, "has 1048576 characters; at most"),
                        (f"add:{'i' * 2000}: x", "expected an id without spaces"),
                        ("add:last:",
                         "expected 'add:ID: SENTENCE', got no sentence after 'add:last'")):
        deadline = time.monotonic() + TIMEOUT
        while named not in fuzzer.process.text:  # the log leaves out what follows within a second
            assert time.monotonic() < deadline, named
            fuzzer.spin(1.1)
            fuzzer.publishers["command"].publish(String(data=text))
            fuzzer.spin_until(lambda line=named: line in fuzzer.process.text, 5.0)
    fuzzer.publishers["command"].publish(String(data="the red thing"))
    answered()
    check_log(fuzzer.process.text)
    assert fuzzer.process.interrupt() == 0


def bad_command(random: np.random.Generator) -> str:
    """Junk, and beginnings of the grammar with junk after them."""
    start = str(random.choice(["", "add:", "add:x:", "remove:", "REMOVE:x", "add::", "clear",
                               "add:a b: c", ":", f"add:{'i' * 5000}: x"]))
    return start + junk(random, int(random.choice([0, 1, 20, 300])))


@pytest.mark.timeout(600)
def test_compressed_garbage_is_named_and_survived(start):
    fuzzer = start("compressed", "image_transport:=compressed")
    good = fuzzer.publishers["image/compressed"]
    jpeg = cv2.imencode(".jpg", red()[..., ::-1])[1].tobytes()
    png = cv2.imencode(".png", red()[..., ::-1])[1].tobytes()

    def garbage() -> dict[str, CompressedImage]:
        data = bytearray((jpeg, png)[fuzzer.random.integers(2)])
        kind = fuzzer.random.integers(4)
        if kind == 0:
            data = bytearray(fuzzer.random.bytes(int(fuzzer.random.integers(0, 500))))
        elif kind == 1:
            data = data[:fuzzer.random.integers(len(data))]
        elif kind == 2:
            for at in fuzzer.random.integers(0, len(data), 8):
                data[at] = fuzzer.random.integers(256)
        else:  # a header that promises 5000x5000 pixels
            data = bytearray(png)
            data[16:24] = (5000).to_bytes(4, "big") * 2
        formats = ["jpeg", "png", "", "rgb8; jpeg compressed bgr8", "32FC1; compressedDepth png",
                   "bayer_rggb8; jpeg compressed ", junk(fuzzer.random, 200)]
        return {"image/compressed": CompressedImage(
            header=fuzzer.header(), format=str(fuzzer.random.choice(formats)),
            data=array("B", data))}

    def answered() -> None:
        fuzzer.expect_answer(good, lambda header: CompressedImage(
            header=header, format="jpeg", data=array("B", jpeg)))

    fuzzer.wait(lambda: good.get_subscription_count() > 0, "node listens to the camera")
    answered()
    fuzzer.block(GARBAGE, garbage)
    answered()
    assert "cannot be decoded: expected a whole JPEG or PNG file" in fuzzer.process.text
    check_log(fuzzer.process.text)
    assert fuzzer.process.interrupt() == 0
