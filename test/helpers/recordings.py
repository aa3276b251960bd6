"""Recordings of the simulated robot camera, written by rosbags in every form that rosbag2 has."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from samwise_ros.sim.follow_scene import follow_scene
from samwise_ros.sim.scene import SimFrame, SimulatedCamera

IMAGE, COMPRESSED, DEPTH, INFO = ("/camera/image_raw", "/camera/image_raw/compressed",
                                  "/camera/depth", "/camera/camera_info")
START = 1_700_000_000_000_000_000  # [ns] of the first stamp
DELAY = 7_000_000  # [ns] from stamp to recording
STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types


def simulate(count: int) -> list[SimFrame]:
    """Frames of a robot that stands before a red and a blue ball."""
    with closing(SimulatedCamera(follow_scene(160, 120))) as camera:
        camera.drive(0.0, 0.1)
        return [camera.step() for _ in range(count)]


def stamp_of(index: int) -> int:
    """[ns] of a frame at ten frames per second."""
    return START + index * 100_000_000


def header(stamp: int) -> Any:
    time = TYPES["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp=time, frame_id="camera_optical_frame")


def image(stamp: int, pixels: np.ndarray, encoding: str) -> Any:
    data = np.ascontiguousarray(pixels).view(np.uint8)
    return TYPES["sensor_msgs/msg/Image"](
        header=header(stamp), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
        is_bigendian=0, step=data[0].size, data=data.ravel())


def messages(frame: SimFrame, stamp: int, topics: Sequence[str]) -> dict[str, Any]:
    """By topic, what a driver would publish about a frame."""
    camera = frame.intrinsics
    height, width = frame.depth.shape
    k = np.array([camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1], float)
    window = TYPES["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    jpeg = cv2.imencode(".png", frame.rgb[..., ::-1])[1]
    made = {
        INFO: TYPES["sensor_msgs/msg/CameraInfo"](
            header=header(stamp), height=height, width=width, distortion_model="plumb_bob",
            d=np.zeros(5), k=k, r=np.eye(3).ravel(), p=np.zeros(12), binning_x=0, binning_y=0,
            roi=window),
        IMAGE: image(stamp, frame.rgb, "rgb8"),
        COMPRESSED: TYPES["sensor_msgs/msg/CompressedImage"](
            header=header(stamp), format="rgb8; png compressed bgr8", data=jpeg.ravel()),
        DEPTH: image(stamp, np.nan_to_num(frame.depth).astype(np.float32), "32FC1"),
    }
    return {topic: message for topic, message in made.items() if topic in topics}


def write_recording(path: Path, frames: Sequence[SimFrame], storage: str = "mcap",
                    compression: str = "none",
                    topics: Sequence[str] = (INFO, IMAGE, DEPTH)) -> Path:
    """Write a recording; `compression`: none, message, file or storage."""
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for index, frame in enumerate(frames):
            stamp = stamp_of(index)
            for topic, message in messages(frame, stamp, topics).items():
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
                writer.write(connections[topic], stamp + DELAY, STORE.serialize_cdr(message, kind))
    return path
