"""How often one place may write to the log: `logger.error(reason, **ONCE_A_SECOND)`.

rclpy counts for each calling line, so the limit is an argument and no function around the call.
"""

from collections.abc import Mapping

ONCE_A_SECOND: Mapping[str, float] = {"throttle_duration_sec": 1.0}
EVERY_TEN_SECONDS: Mapping[str, float] = {"throttle_duration_sec": 10.0}
ONCE_A_MINUTE: Mapping[str, float] = {"throttle_duration_sec": 60.0}
