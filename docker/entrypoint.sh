#!/usr/bin/env bash
# Source ROS and the workspace, then run the command. The node's Python is in SAMWISE_PYTHON.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /workspace/install/setup.bash
exec "$@"
