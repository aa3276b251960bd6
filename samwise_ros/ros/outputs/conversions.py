"""Results -> messages of rosidl, by the functions of `samwise_ros/messages/`.

Our own messages and vision_msgs are optional: where they can't be imported the names below are
None, and the parts that need them are left out.
"""

from functools import cache, partial
from importlib import import_module
from typing import Any

from samwise_ros.messages import place_messages, result_messages

try:
    from samwise_ros.msg import Status, Target, TargetArray
except ImportError:  # installed without messages
    Status = Target = TargetArray = None
try:
    from vision_msgs.msg import Detection2DArray, Detection3DArray
except ImportError:  # not on PyPI
    Detection2DArray = Detection3DArray = None
try:
    from vision_msgs.msg import LabelInfo
except ImportError:  # came later than the detections
    LabelInfo = None


def make_message(name: str, /, **fields: Any) -> Any:
    """A message of a type by its full name; see `MakeMessage`.

    Raises ImportError or AttributeError when the type is not installed.
    """
    return _class_of(name)(**fields)


@cache
def _class_of(name: str) -> type:
    package, folder, kind = name.split("/")
    return getattr(import_module(f"{package}.{folder}"), kind)


mask_to_msg = partial(result_messages.mask_to_msg, make_message)
labels_to_msg = partial(result_messages.labels_to_msg, make_message)
rgb_to_msg = partial(result_messages.rgb_to_msg, make_message)
jpeg_to_msg = partial(result_messages.jpeg_to_msg, make_message)
label_info_to_msg = partial(result_messages.label_info_to_msg, make_message)
targets_to_msg = partial(result_messages.targets_to_msg, make_message)
box_to_msg = partial(result_messages.box_to_msg, make_message)
detections_to_msg = partial(result_messages.detections_to_msg, make_message)
pose_to_msg = partial(place_messages.pose_to_msg, make_message)
cloud_to_msg = partial(place_messages.cloud_to_msg, make_message)
detections_3d_to_msg = partial(place_messages.detections_3d_to_msg, make_message)


def missing_messages() -> tuple[str, ...]:
    """What the node can't publish here, with the remedy; for the log."""
    missing = []
    if TargetArray is None:
        missing.append("~/targets and ~/status (build the package's messages: `make setup`, or "
                       "colcon)")
    if Detection2DArray is None:
        missing.append("~/detections, ~/detections_3d, ~/label_info and, of inputs, prompt/box "
                       "(install vision_msgs, e.g. apt install ros-$ROS_DISTRO-vision-msgs)")
    return tuple(missing)
