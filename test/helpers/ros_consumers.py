"""Doubles of the two consumers, in a process of their own; what they got goes to stdout as JSON.

    python test/helpers/ros_consumers.py follow_object --ros-args -r pose:=POSE_TOPIC
    python test/helpers/ros_consumers.py foundation_pose --ros-args \\
        -r depth_image:=... -r segmentation:=...

They follow the published rules, not our code:

- Nav2's FollowObject (opennav_following, following_server.cpp): a reliable subscription of depth 1
  to PoseStamped; the target counts as lost when now - stamp exceeds `detection_timeout`, 2.0 s.
- Isaac ROS FoundationPose (foundationpose_selector_node.cpp): message_filters' ExactTime policy
  with a queue of 20 over image, depth, mono8 mask and camera_info, all of one size.
"""

import json
import sys
from collections import OrderedDict

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

DETECTION_TIMEOUT = 2.0  # s, default of FollowObject
QUEUE = 20  # of FoundationPose's synchroniser


class FollowObject(Node):
    """Takes poses and judges at 10 Hz whether the target is there."""

    def __init__(self) -> None:
        super().__init__("following_server")
        self.pose: PoseStamped | None = None
        self.verdict = ""
        self.create_subscription(PoseStamped, "pose", self._on_pose, QoSProfile(
            depth=1, reliability=QoSReliabilityPolicy.RELIABLE))
        self.create_timer(0.1, self._judge)

    def _on_pose(self, pose: PoseStamped) -> None:
        self.pose = pose

    def _judge(self) -> None:
        if self.pose is None:
            return
        age = self.get_clock().now() - rclpy.time.Time.from_msg(self.pose.header.stamp)
        verdict = "lost" if age.nanoseconds * 1e-9 > DETECTION_TIMEOUT else "detected"
        if verdict != self.verdict:
            self.verdict = verdict
            print(json.dumps({"verdict": verdict}), flush=True)


class FoundationPose(Node):
    """ExactTime over four topics: a set is complete when all four carry one stamp."""

    TOPICS = (("image", Image), ("depth_image", Image), ("segmentation", Image),
              ("camera_info", CameraInfo))

    def __init__(self) -> None:
        super().__init__("foundationpose")
        self._sets: OrderedDict[int, dict] = OrderedDict()
        self.matched: list[dict] = []
        self.faults: list[str] = []
        for name, kind in self.TOPICS:
            self.create_subscription(
                kind, name, lambda message, name=name: self._add(name, message), QUEUE)

    def _add(self, name: str, message: object) -> None:
        """As in sync_policies/exact_time.h: sets older than a complete one are given up."""
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        parts = self._sets.setdefault(stamp, {})
        parts[name] = message
        if len(parts) == len(self.TOPICS):
            self._take(stamp, parts)
            for older in [other for other in self._sets if other <= stamp]:
                del self._sets[older]
        while len(self._sets) > QUEUE:
            self._sets.pop(min(self._sets))

    def _take(self, stamp: int, parts: dict) -> None:
        mask = parts["segmentation"]
        sizes = {(part.height, part.width) for part in parts.values()}
        frames = {part.header.frame_id for part in parts.values()}
        if len(sizes) != 1 or len(frames) != 1 or mask.encoding != "mono8":
            self.faults.append(f"{stamp}: {sizes} {frames} {mask.encoding}")
        if set(bytes(mask.data)) - {0, 255}:
            self.faults.append(f"{stamp}: mask holds other values than 0 and 255")
        self.matched.append({"stamp": stamp, "pixels": bytes(mask.data).count(255)})
        print(json.dumps({"report": self.report()}), flush=True)

    def report(self) -> dict:
        return {"matched": len(self.matched), "faults": self.faults,
                "with_target": sum(entry["pixels"] > 0 for entry in self.matched)}


def main() -> None:
    rclpy.init(args=sys.argv)
    node = {"follow_object": FollowObject, "foundation_pose": FoundationPose}[sys.argv[1]]()
    rclpy.spin(node)


if __name__ == "__main__":
    main()
