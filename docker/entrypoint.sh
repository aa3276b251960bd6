#!/usr/bin/env bash
# Source ROS, the virtual environment where there is one, and the workspace, then run the command.
set -e
source "/opt/ros/${ROS_DISTRO:-humble}/setup.bash"
if [ -f /workspace/venv/bin/activate ]; then
  source /workspace/venv/bin/activate
fi
source /workspace/install/setup.bash
exec "$@"
