"""A camera process: black images with a red square, at a steady rate, best effort.

    python test/helpers/ros_standin_camera.py FRAME_ID RATE WIDTHxHEIGHT COLUMN [SECONDS] \\
        --ros-args -r image:=...

COLUMN is where the square of 8x8 pixels begins (row 4), so that a mask tells whose image it
answers; SECONDS are added to the stamps.
"""

import sys

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from samwise_ros.ros.outputs.conversions import rgb_to_msg


def main() -> None:
    frame_id, rate, size, column, *offset = remove_ros_args(sys.argv)[1:]
    width, height = map(int, size.split("x"))
    frame = np.zeros((height, width, 3), np.uint8)
    frame[4:12, int(column):int(column) + 8, 0] = 255
    shift = Duration(seconds=float(offset[0]) if offset else 0.0)
    rclpy.init(args=sys.argv)
    node = rclpy.create_node(f"{frame_id}_driver")
    publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)

    def send() -> None:
        stamp = (node.get_clock().now() + shift).to_msg()
        publisher.publish(rgb_to_msg(frame, Header(stamp=stamp, frame_id=frame_id)))

    node.create_timer(1 / float(rate), send)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
