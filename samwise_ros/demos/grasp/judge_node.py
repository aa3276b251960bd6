"""The judge of the grasp demo: starts scenes, says sentences, watches the truth, films, reports.

Started by `grasp_demo.run_grasp`. Times are simulated ones, from the stamps.
"""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import PoseArray
from sensor_msgs.msg import Image
from std_msgs.msg import Int32, String

from samwise_ros.demos.client import (
    QOS,
    TARGET,
    CommandingClient,
    mono_to_array,
    run_client,
    stamp_of,
)
from samwise_ros.demos.grasp.judge import Answer, Attempt, Tick, overlaps, summary
from samwise_ros.demos.grasp.picker import Step
from samwise_ros.demos.options import GraspOptions, from_argument
from samwise_ros.messages.depth_sync import StampedBuffer
from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.ros.outputs.conversions import Target, TargetArray
from samwise_ros.sim.grasp_scene import GraspScene, grasp_scene, in_tray, number_of, sentence_of
from samwise_ros.streaming.drawing import ContactSheet, paint_masks
from samwise_ros.streaming.pictures import write_png
from samwise_ros.streaming.video_file import VideoWriter

_PATIENCE = 30.0  # simulated seconds for a scene...
_UNSEEN = 8.0  # ...and without its target, after which nothing is expected any more
_AFTER = 1.0  # [s] that is watched after the client is done
_STILL = (0.5, 2.5)  # [s] after "stop": the arm must not move between these
_FILMED = 3  # scenes
_BAR = 24  # [px] below the pictures, for words


class GraspJudge(CommandingClient):
    """Listens to everything; keeps what belongs to the attempt that is being watched."""

    def __init__(self, video: VideoWriter, sheet: ContactSheet) -> None:
        super().__init__("grasp_judge")
        self.tips: list[tuple[float, np.ndarray]] = []  # time, place of the gripper in the world
        self.attempt = Attempt(0)
        self._state: dict[str, Any] = {"step": "", "still": "", "misses": []}
        self._obeyed = self._before = 0  # that the client obeys; the last before the sentence
        self._video, self._sheet = video, sheet
        self._frame, self._numbers, self._sentence = "", [0], ""
        self._present, self._seen_at = False, 0.0
        self._images: StampedBuffer[Image] = StampedBuffer(20)
        self._instances: StampedBuffer[Image] = StampedBuffer(20)
        self._view: np.ndarray | None = None
        self._scene = self.create_publisher(Int32, "scene", QOS)
        self.create_subscription(PoseArray, "ground_truth", self._on_truth, QOS)
        for topic, buffer in (("image", self._images), ("instance", self._instances)):
            self.create_subscription(
                Image, topic,
                lambda image, buffer=buffer: buffer.put(stamp_of(image.header), image), 5)
        self.create_subscription(TargetArray, f"{TARGET}/targets", self._on_targets, QOS)
        self.create_subscription(Image, f"{TARGET}/mask", self._on_mask, QOS)
        self.create_subscription(String, "picker_state", self._on_state, QOS)
        self._views = None

    def start(self, number: int, scene: GraspScene, timeout: float, film: bool) -> None:
        """Have the world show a scene. Raises DemoError when nothing comes of it."""
        self.command("stop", timeout)
        self.wait(lambda: self._scene.get_subscription_count() > 0, timeout, "there is no arm")
        self._film(film)
        self._frame, self._sentence = f"world_{number}", ""
        self._numbers = [number_of(item) for item in scene.objects]
        self.tips, self.attempt = [], Attempt(scene.target)
        self._scene.publish(Int32(data=number))
        self.wait(lambda: len(self.tips) > 2, timeout, f"scene {number} does not begin")

    def say(self, sentence: str, target: int, timeout: float) -> None:
        """Give a sentence that names an object; a new attempt begins."""
        places = self.attempt.ticks[0:1]  # heights are told from the scene's start
        self.attempt = Attempt(target, ticks=places)
        self._sentence, self._before = sentence, self._obeyed
        self._seen_at = self.tips[-1][0]
        self.command(sentence, timeout)

    def watch(self, timeout: float) -> Attempt:
        """The attempt, until the client is done or the scene's time is over."""
        begin = self.tips[-1][0]
        self.wait(lambda: self._does(Step.DONE) or self._is_over(begin), timeout,
                  "the simulation does not go on")
        end, done = self.tips[-1][0], self._does(Step.DONE)
        attempt, self.attempt = self.attempt, Attempt(0)
        attempt.done = done
        attempt.misses = self._state["misses"]
        self.wait(lambda: self.tips[-1][0] - end > _AFTER, timeout, "the simulation does not go on")
        attempt.in_tray = [in_tray(place) for place in self.attempt.ticks[-1].places]
        return attempt

    def reach(self, step: Step, timeout: float) -> bool:
        """Wait for a step of the client; False when the scene's time is over before."""
        begin = self.tips[-1][0]
        self.wait(lambda: self._does(step) or self._is_over(begin), timeout,
                  "the simulation does not go on")
        return self._does(step)

    def _is_over(self, begin: float) -> bool:
        now = self.tips[-1][0]
        return now - begin > _PATIENCE or now - self._seen_at > _UNSEEN

    def _does(self, step: Step) -> bool:
        """Whether the client is at a step of obeying the newest sentence."""
        return self._obeyed > self._before and self._state["step"] == step.value

    def drift(self, timeout: float) -> float:
        """Metres that the tip moves after "stop", once it had time to hear it."""
        self.command("stop", timeout)
        begin = self.tips[-1][0]
        self.wait(lambda: self.tips[-1][0] - begin > _STILL[1], timeout,
                  "the simulation does not go on")
        after = np.array([tip for time, tip in self.tips if time - begin > _STILL[0]])
        return float(np.linalg.norm(np.ptp(after, axis=0)))

    def _film(self, film: bool) -> None:
        """The arm is rendered from beside only while somebody looks."""
        if film and self._views is None:
            self._views = self.create_subscription(Image, "view", self._on_view, 5)
        elif not film and self._views is not None:
            self.destroy_subscription(self._views)
            self._views = None

    def _on_view(self, message: Image) -> None:
        self._view = image_to_rgb(message)

    def _on_state(self, message: String) -> None:
        self._state = json.loads(message.data)
        self._obeyed = max(self._obeyed, self._state["command"])

    def _on_truth(self, message: PoseArray) -> None:
        if message.header.frame_id != self._frame:
            return
        tip, *places = (np.array([pose.position.x, pose.position.y, pose.position.z])
                        for pose in message.poses)
        time = stamp_of(message.header) * 1e-9
        self.tips.append((time, tip))
        self.attempt.ticks.append(Tick(time, np.array(places)))

    def _on_targets(self, message: TargetArray) -> None:
        self._present = any(
            target.expression == self._sentence
            and target.state in (Target.TRACKING, Target.REACQUIRED)
            for target in message.targets[:1])
        if self._present:
            self._seen_at = stamp_of(message.header) * 1e-9

    def _on_mask(self, message: Image) -> None:
        try:
            image = image_to_rgb(self._images.pop(stamp_of(message.header)))
            instances = mono_to_array(self._instances.pop(stamp_of(message.header)))
        except KeyError:
            return
        mask = mono_to_array(message) > 0
        if self._sentence:
            self.attempt.answers.append(
                Answer(self._present, overlaps(mask, instances, self._numbers)))
        if self._views is not None and self._view is not None:
            self._draw(paint_masks(image, [mask]), self._view)

    def _draw(self, picture: np.ndarray, view: np.ndarray) -> None:
        still = self._state["still"]
        step = f"stands still: {still}" if still else str(self._state["step"])
        bar = np.full((_BAR, picture.shape[1] + view.shape[1], 3), 32, np.uint8)
        cv2.putText(bar, f"{self._sentence or '-'}: {step}", (6, _BAR - 8),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        both = np.vstack([np.hstack([picture, view]), bar])
        self._video.write(both)
        self._sheet.add(both)


def _drill(judge: GraspJudge, options: GraspOptions) -> dict:
    """A new sentence while the arm moves, "stop" while it carries, and the sentence once more."""
    scene = grasp_scene(options.seed, options.scenes)
    first = (scene.target + 1) % len(scene.objects)
    judge.start(options.scenes, scene, options.timeout, film=False)
    judge.say(sentence_of(scene.objects[first]), first, options.timeout)
    report = {"first": sentence_of(scene.objects[first]), "then": scene.sentence,
              "approached": judge.reach(Step.APPROACH, options.timeout)}
    judge.say(scene.sentence, scene.target, options.timeout)
    report["carried"] = judge.reach(Step.CARRY, options.timeout)
    report["left_alone"] = not judge.attempt.lifted()[first]
    report["drift_after_stop"] = round(judge.drift(options.timeout), 4)
    judge.say(scene.sentence, scene.target, options.timeout)
    return report | {"placed": not judge.watch(options.timeout).cause()}


def _run(judge: GraspJudge, options: GraspOptions) -> None:
    scenes = []
    for number in range(options.scenes):
        scene = grasp_scene(options.seed, number)
        judge.start(number, scene, options.timeout, film=number < _FILMED)
        judge.say(scene.sentence, scene.target, options.timeout)
        scenes.append(judge.watch(options.timeout).report(number, scene.sentence))
        print(json.dumps(scenes[-1]), flush=True)
    report = summary(scenes) | {"drill": _drill(judge, options), "scene": scenes}
    (options.out / "client.json").write_text(json.dumps(report))


def main() -> int:
    """Judge, write client.json, grasp.mp4 and grasp.png; 1 on failure.

    Argument of the process: GraspOptions.
    """
    options = from_argument(GraspOptions, sys.argv[1])
    sheet = ContactSheet(columns=2, rows=4, cell_width=560)
    with closing(VideoWriter(Path(options.out) / "grasp.mp4", 2 * options.rate)) as video:
        status = run_client("grasp judge", lambda: GraspJudge(video, sheet),
                            lambda judge: _run(judge, options))
    if status == 0:
        write_png(options.out / "grasp.png", sheet.image())
    return status


if __name__ == "__main__":
    raise SystemExit(main())
