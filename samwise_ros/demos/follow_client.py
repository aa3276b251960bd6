"""The client of the follow demo: gives the commands, compares with the truth, draws the video.

Started by `follow_demo.run_follow`. Times are simulated ones, from the truth's stamps.
"""

import json
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped, Twist
from sensor_msgs.msg import Image

from samwise_ros.demos.client import (
    TARGET,
    CommandingClient,
    mono_to_array,
    run_client,
    stamp_of,
)
from samwise_ros.demos.options import FollowOptions, from_argument
from samwise_ros.evaluation.metrics import region_similarity
from samwise_ros.messages.depth_sync import StampedBuffer
from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.sim.assets import COLOURS
from samwise_ros.sim.follow_scene import follow_scene, object_names, radius
from samwise_ros.sim.plan import ScenePlan
from samwise_ros.streaming.drawing import ContactSheet, paint_masks
from samwise_ros.streaming.pictures import write_png
from samwise_ros.streaming.video_file import VideoWriter

_SETTLE = 0.5  # share of a phase after which the distance is judged
_STANDSTILL = 3.0  # simulated seconds that are watched after "stop"
_MAP = ((-2.0, 2.4), (-1.8, 3.2))  # [m] x and y of the drawn floor


@dataclass(frozen=True)
class Truth:
    """The world at one time: stamp [s], the base's x, y [m] and yaw [rad], objects' x, y."""

    stamp: float
    base: tuple[float, float, float]
    objects: tuple[tuple[float, float], ...]

    def distance(self, index: int) -> float:
        """Metres over the ground from the camera to the middle of an object."""
        return math.dist(self.base[:2], self.objects[index])

    def bearing(self, index: int) -> float:
        """Radians from straight ahead to an object, positive to the left."""
        x, y = self.objects[index]
        angle = math.atan2(y - self.base[1], x - self.base[0]) - self.base[2]
        return math.remainder(angle, 2 * math.pi)


@dataclass(frozen=True)
class PhaseReport:
    """How one command was followed, in the second half of its time.

    Attributes:
        expression: The command.
        seconds: Simulated time of the whole phase.
        poses: Poses received in it.
        distance_first, distance_last: Metres to the target's near side, at both ends of the phase.
        error_mean, error_max: Of the distance, absolute, metres.
        bearing_max: Absolute, radians.
        mask_j: Mean overlap (J) of the masks with the object's true pixels, whole phase.
    """

    expression: str
    seconds: float
    poses: int
    distance_first: float
    distance_last: float
    error_mean: float
    error_max: float
    bearing_max: float
    mask_j: float


class FollowClient(CommandingClient):
    """Listens to everything; draws each frame whose mask has come."""

    def __init__(self, video: VideoWriter, sheet: ContactSheet, wanted: float) -> None:
        super().__init__("follow_client")
        self.truths: list[Truth] = []
        self.poses = 0
        self.expression = ""
        self.velocity = Twist()
        self._wanted = wanted
        self._video, self._sheet = video, sheet
        self._plan = follow_scene()
        self._images: StampedBuffer[Image] = StampedBuffer(20)
        self._instances: StampedBuffer[Image] = StampedBuffer(20)
        self._wanted_number = 0  # of the object that is followed
        self._overlaps: list[float] = []
        self.create_subscription(PoseArray, "ground_truth", self._on_truth, 20)
        for topic, buffer in (("image", self._images), ("instance", self._instances)):
            self.create_subscription(
                Image, topic,
                lambda image, buffer=buffer: buffer.put(stamp_of(image.header), image), 5)
        self.create_subscription(Image, f"{TARGET}/mask", self._on_mask, 5)
        self.create_subscription(PoseStamped, f"{TARGET}/target_pose", self._on_pose, 1)
        self.create_subscription(Twist, "cmd_vel", self._on_velocity, 1)

    def command(self, text: str, timeout: float) -> None:
        """Publish a command once the segmentation node listens, and caption pictures with it."""
        super().command(text, timeout)
        self.expression = text

    def follow(self, expression: str, index: int, seconds: float, timeout: float) -> PhaseReport:
        """Have one object followed for some simulated seconds. Raises SamwiseError on silence.

        The phase begins when the base moves: only then have all processes found each other.
        """
        before = self.poses
        self.command(expression, timeout)
        self.wait(lambda: bool(self.truths), timeout, "no truth comes from the simulation")
        start = self.truths[-1].base
        self.wait(lambda: self.poses > before + 1, timeout, f"no pose came for {expression!r}")
        self.wait(lambda: self.truths[-1].base != start, timeout,
                  f"the base does not move for {expression!r}")
        first, poses = len(self.truths) - 1, self.poses
        self._wanted_number, self._overlaps = index + 1, []
        self.wait(lambda: self.truths[-1].stamp - self.truths[first].stamp > seconds, timeout,
                  "the simulation does not go on")
        near = np.array([truth.distance(index) for truth in self.truths[first:]])
        near -= radius(self._plan, index)
        judged = self.truths[first + round(_SETTLE * len(near)):]
        errors = np.abs(near[-len(judged):] - self._wanted)
        return PhaseReport(
            expression, seconds, self.poses - poses, float(near[0]), float(near[-1]),
            float(errors.mean()), float(errors.max()),
            max(abs(truth.bearing(index)) for truth in judged), float(np.mean(self._overlaps)))

    def stand_still(self, timeout: float) -> float:
        """Release the target; metres that the base goes on in the simulated seconds after."""
        self.command("stop", timeout)
        start = self.truths[-1]
        self.wait(lambda: self.truths[-1].stamp - start.stamp > _STANDSTILL, timeout,
                  "the simulation does not go on")
        half = next(truth for truth in self.truths if truth.stamp - start.stamp > _STANDSTILL / 2)
        return math.dist(half.base, self.truths[-1].base)

    def _on_truth(self, message: PoseArray) -> None:
        base, *objects = message.poses
        yaw = 2 * math.atan2(base.orientation.z, base.orientation.w)
        self.truths.append(Truth(
            stamp_of(message.header) * 1e-9, (base.position.x, base.position.y, yaw),
            tuple((item.position.x, item.position.y) for item in objects)))

    def _on_pose(self, message: PoseStamped) -> None:
        self.poses += 1

    def _on_velocity(self, message: Twist) -> None:
        self.velocity = message

    def _on_mask(self, message: Image) -> None:
        try:
            image = image_to_rgb(self._images.pop(stamp_of(message.header)))
            instances = mono_to_array(self._instances.pop(stamp_of(message.header)))
        except KeyError:
            return
        if not self.truths:
            return
        mask = mono_to_array(message) > 0
        self._overlaps.append(region_similarity(mask, instances == self._wanted_number))
        view = cv2.resize(paint_masks(image, [mask]), (480, 360), interpolation=cv2.INTER_NEAREST)
        caption = f"{self.expression}  v = {self.velocity.linear.x:+.2f} m/s"
        cv2.putText(view, caption, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1,
                    cv2.LINE_AA)
        picture = np.hstack([view, draw_map(self.truths, self._plan, view.shape[0])])
        self._video.write(picture)
        self._sheet.add(picture, "")


def draw_map(truths: Sequence[Truth], plan: ScenePlan, height: int) -> np.ndarray:
    """The floor from above, uint8 [height, w, 3]: the base, its path and heading, the objects."""
    (left, right), (low, high) = _MAP
    scale = height / (high - low)
    picture = np.full((height, round((right - left) * scale), 3), 240, np.uint8)

    def pixel(x: float, y: float) -> tuple[int, int]:
        return round((x - left) * scale), round((high - y) * scale)

    path = np.array([pixel(*truth.base[:2]) for truth in truths], np.int32)
    cv2.polylines(picture, [path], False, (150, 150, 150), 1, cv2.LINE_AA)
    now = truths[-1]
    for item, place in zip(plan.objects, now.objects):
        colour = tuple(round(255 * value) for value in COLOURS[item.colour])
        cv2.circle(picture, pixel(*place), round(item.size / 2 * scale), colour, -1, cv2.LINE_AA)
    x, y, yaw = now.base
    nose = pixel(x + 0.35 * math.cos(yaw), y + 0.35 * math.sin(yaw))
    cv2.circle(picture, pixel(x, y), 9, (60, 60, 60), -1, cv2.LINE_AA)
    cv2.line(picture, pixel(x, y), nose, (60, 60, 60), 3, cv2.LINE_AA)
    return picture


def _run(client: FollowClient, options: FollowOptions) -> None:
    names = object_names(follow_scene())
    phases = [client.follow(f"the {names[index]}", index, options.seconds, options.timeout)
              for index in (0, 1)]
    drift = client.stand_still(options.timeout)
    (options.out / "client.json").write_text(json.dumps(
        {"phases": [asdict(phase) for phase in phases], "drift_after_stop": drift}))


def main() -> int:
    """Command, watch, write client.json, follow.mp4 and follow.png; 1 on failure.

    Argument of the process: FollowOptions.
    """
    options = from_argument(FollowOptions, sys.argv[1])
    sheet = ContactSheet(columns=2, rows=4, cell_width=560)
    with closing(VideoWriter(options.out / "follow.mp4", options.rate)) as video:
        status = run_client("follow client", lambda: FollowClient(video, sheet, options.distance),
                            lambda client: _run(client, options))
    if status == 0:
        write_png(options.out / "follow.png", sheet.image())
    return status


if __name__ == "__main__":
    raise SystemExit(main())
