"""How a camera's results are published. No ROS import."""

from dataclasses import dataclass, field

from samwise_ros.messages.localization import LocalizationSettings
from samwise_ros.streaming.target_tracker import TrackSettings
from samwise_ros.structures import ConfigError

MEASURED = -1.0  # depth_slop that is taken from the streams


@dataclass(frozen=True)
class OutputSettings:
    """How a camera's results are published.

    Attributes:
        target_frame: Frame of reference of the 3D outputs; empty: the camera's.
        rectified: Whether images are rectified, see `pinhole_from_info`.
        depth_slop: Seconds by which the stamps of image and depth may differ; 0: not at all; -1:
            just below half a measured period, so that depth never goes to a neighbouring image.
        predict: Whether ~/predicted_pose is published.
        overlay_rate: Overlays per second at most; 0: none.
        empty_masks: Whether ~/mask is published for frames without the primary target, too.
        keep_all: Whether every message is published, as for a recording, and not only the newest.
        history: Messages of each topic that are kept until every subscriber has them.
        threshold: Score from which a target counts as there, for ~/label_info.
        localization: How a target's depth is taken.
    """

    target_frame: str = ""
    rectified: bool = False
    depth_slop: float = MEASURED
    predict: bool = False
    overlay_rate: float = 10.0
    empty_masks: bool = True
    keep_all: bool = False
    history: int = 5
    threshold: float = TrackSettings.enter_score
    localization: LocalizationSettings = field(default_factory=LocalizationSettings)

    def __post_init__(self) -> None:
        if self.depth_slop < 0 and self.depth_slop != MEASURED or self.overlay_rate < 0:
            raise ConfigError("expected depth_slop (or -1) and overlay_rate >= 0, got "
                              f"{self.depth_slop} and {self.overlay_rate}")
