"""rosbag2 recordings in and out, without ROS: what the node would have published about them."""
