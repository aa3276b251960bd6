"""From where a target is to how a base moves: turn towards it and keep a distance. No ROS import.

Base frame: x forward, y left (REP 103), metres, seconds, radians.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.structures import ConfigError


def _setting(default: float, low: float, high: float, description: str) -> Any:
    """A float that may change while the base moves."""
    return parameter(default, description, limits=(low, high), live=True)


@dataclass(frozen=True)
class FollowSettings:
    """How a target is followed."""

    distance: float = _setting(1.0, 0.1, 20.0, "Distance to keep [m], to the target's near side.")
    distance_dead_zone: float = _setting(
        0.05, 0.0, 5.0, "Distances this close [m] to the wanted one are good enough.")
    bearing_dead_zone: float = _setting(
        0.02, 0.0, 1.0, "Bearings this close [rad] to straight ahead are good enough.")
    linear_gain: float = _setting(0.8, 0.0, 10.0, "Speed per error of distance [1/s].")
    angular_gain: float = _setting(1.5, 0.0, 10.0, "Turn rate per bearing [1/s].")
    max_linear: float = _setting(0.4, 0.0, 5.0, "Fastest speed forwards [m/s].")
    max_reverse: float = _setting(0.2, 0.0, 5.0, "Fastest speed backwards [m/s]; 0: never.")
    max_angular: float = _setting(1.0, 0.0, 6.0, "Fastest turn [rad/s].")
    linear_acceleration: float = _setting(0.5, 0.01, 20.0, "Change of speed [m/s^2].")
    linear_braking: float = _setting(1.0, 0.01, 20.0, "Change of speed towards 0 [m/s^2].")
    angular_acceleration: float = _setting(3.0, 0.01, 60.0, "Change of turn rate [rad/s^2].")
    timeout: float = _setting(
        0.5, 0.05, 10.0, "Stop at once when the pose is older than this [s].")

    def __post_init__(self) -> None:
        for item in fields(FollowSettings):
            low, high = item.metadata["limits"]
            value = getattr(self, item.name)
            if not low <= value <= high:  # NaN is refused as well
                raise ConfigError(f"{item.name}: expected {low:g} to {high:g}, got {value}")


@dataclass(frozen=True)
class Velocity:
    """`linear` speed forwards [m/s] and `angular` turn rate [rad/s], positive to the left."""

    linear: float = 0.0
    angular: float = 0.0


STANDSTILL = Velocity()


@dataclass(frozen=True)
class Sighting:
    """A measured target: metres `forward` and `left` of the base, at `stamp` [s]."""

    stamp: float
    forward: float
    left: float

    @property
    def usable(self) -> bool:
        """Whether all values are finite."""
        return math.isfinite(self.stamp + self.forward + self.left)


def sighting_from_optical(stamp: float, position: tuple[float, float, float], pitch: float = 0.0
                          ) -> Sighting:
    """A point in the optical frame of a camera that looks forwards.

    Args:
        stamp: Time of the measurement [s].
        position: x right, y down, z forward [m].
        pitch: By how much the camera looks down [rad].
    """
    x, y, z = position
    return Sighting(stamp, z * math.cos(pitch) - y * math.sin(pitch), -x)


class FollowController:
    """Turns the newest sighting into a velocity, within limits of speed and acceleration.

    Args:
        settings: May be replaced by `settings = ...` at any time.

    Attributes:
        velocity: Asked for last.
        reason: Why the base stands still; empty while it follows.
    """

    def __init__(self, settings: FollowSettings = FollowSettings()) -> None:
        self.settings = settings
        self.velocity = STANDSTILL
        self.reason = "no target seen yet"
        self._last_update: float | None = None

    def update(self, now: float, target: Sighting | None) -> Velocity:
        """The velocity for the time until the next update.

        A target that is absent, stale, not finite, or stamped in the future by more than the
        timeout stops the base at once, whatever the acceleration limits say.

        Args:
            now: Time [s], on the clock of the sighting's stamp.
            target: The newest sighting, None before the first.
        """
        self.reason = self._why_not(now, target)
        elapsed = 0.0 if self._last_update is None else now - self._last_update
        self._last_update = now
        if target is None or self.reason or elapsed < 0:  # the clock was set back
            self.velocity = STANDSTILL
        else:
            wanted = self._wanted(target)
            self.velocity = self._limited(wanted, elapsed)
        return self.velocity

    def _why_not(self, now: float, target: Sighting | None) -> str:
        if target is None:
            return "no target seen yet"
        if not target.usable:
            return "the target's pose is not finite"
        age = now - target.stamp
        if age > self.settings.timeout:
            return f"the target was last seen {age:.1f} s ago"
        if age < -self.settings.timeout:
            return f"the target's pose is stamped {-age:.1f} s in the future"
        return ""

    def _wanted(self, target: Sighting) -> Velocity:
        """What would be right without inertia."""
        settings = self.settings
        bearing = math.atan2(target.left, target.forward)
        error = math.hypot(target.forward, target.left) - settings.distance
        linear = angular = 0.0
        if abs(bearing) > settings.bearing_dead_zone:
            angular = settings.angular_gain * bearing
        if abs(error) > settings.distance_dead_zone:
            # A target at the side is turned to first; driving ahead would not get nearer to it.
            linear = settings.linear_gain * error * max(0.0, math.cos(bearing))
        return Velocity(_clip(linear, -settings.max_reverse, settings.max_linear),
                        _clip(angular, -settings.max_angular, settings.max_angular))

    def _limited(self, wanted: Velocity, elapsed: float) -> Velocity:
        """As near to `wanted` as the accelerations allow after `elapsed` seconds."""
        settings, present = self.settings, self.velocity
        braking = abs(wanted.linear) < abs(present.linear) or wanted.linear * present.linear < 0
        rate = settings.linear_braking if braking else settings.linear_acceleration
        step, turn = rate * elapsed, settings.angular_acceleration * elapsed
        return Velocity(
            _clip(wanted.linear, present.linear - step, present.linear + step),
            _clip(wanted.angular, present.angular - turn, present.angular + turn))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
