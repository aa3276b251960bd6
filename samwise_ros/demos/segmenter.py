"""What answers the simulated camera of a closed loop: the node, or the simulator's own masks."""

from collections.abc import Iterable

from samwise_ros.demos.options import FollowOptions, GraspOptions
from samwise_ros.demos.process_group import ProcessGroup

NAME = "/samwise"


def start_segmenter(group: ProcessGroup, options: FollowOptions | GraspOptions,
                    objects: Iterable[str], *parameters: str) -> None:
    """Start it, and wait until the node is active.

    Args:
        group: The run's processes.
        options: Say which of the two, the model and how long to wait.
        objects: Names of the simulated objects, in their order.
        parameters: Further arguments of the node alone.

    Raises:
        SamwiseError: The node did not become active.
    """
    if options.truth:
        names = ", ".join(f"'{name}'" for name in objects)
        group.start("segmenter", "samwise_ros.demos.ground_truth_node", "--ros-args",
                    "-p", f"names:=[{names}]", "-p", "use_sim_time:=true")
        return
    group.start("segmenter", "samwise_ros.ros.node.node", "--ros-args", "-p", "use_sim_time:=true",
                "-p", f"model:={options.model}", "-p", "num_threads:=1",  # the other core renders
                *parameters)
    group.start("lifecycle", "samwise_ros.ros.services.lifecycle_client", NAME, "up",
                "--timeout", str(options.timeout))
    group.wait_for("lifecycle", options.timeout)
