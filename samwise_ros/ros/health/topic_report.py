"""What was seen of one topic, and whether the node can use it. No ROS import."""

from dataclasses import dataclass

_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage",
          "sensor_msgs/msg/CameraInfo")
_LARGE = 200_000  # bytes; more than fits Fast DDS's default shared memory with some room
_LATE = 1.0  # seconds of age that look like clocks which disagree


@dataclass(frozen=True)
class TopicReport:
    """One topic, watched for a while.

    Attributes:
        name: Resolved name.
        types: Message types that are offered under it.
        offers: "NODE: reliability, durability" of each publisher.
        reliable: Whether every publisher offers reliable.
        received: Messages.
        seconds: For which it was watched.
        size: Bytes of the last message's data.
        detail: Size and encoding of the last message, for people.
        age: Median seconds from stamp to arrival; None without messages.
        stamped: Whether stamps are other than 0.
        alike: Other topics with images, for a misspelt name.
    """

    name: str
    types: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    reliable: bool = True
    received: int = 0
    seconds: float = 0.0
    size: int = 0
    detail: str = ""
    age: float | None = None
    stamped: bool = True
    alike: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.received / self.seconds if self.seconds else 0.0

    def describe(self) -> str:
        """What was found, in one line."""
        if not self.offers:
            return f"{self.name}: nobody publishes it"
        text = f"{self.name}: {self.rate:.1f} Hz"
        if self.age is not None:
            text += f", {self.detail}, age {1e3 * self.age:.0f} ms"
        return f"{text}; offered by {'; '.join(self.offers)}"

    def problem(self) -> str | None:
        """What keeps the node from working with it and what to do; None when all is well."""
        if not self.offers:
            others = f"topics with images: {', '.join(self.alike)}" if self.alike else \
                "no topic with images was found: is the camera running, in the same ROS_DOMAIN_ID?"
            return f"check the name and the remapping; {others}"
        if not set(self.types) & set(_TYPES):
            return f"expected images, got {', '.join(self.types)}: check the name and the remapping"
        if not self.received:
            return ("there is a publisher but nothing arrives: large best-effort images need "
                    "config/fastdds.xml on the camera's side (FASTDDS_DEFAULT_PROFILES_FILE); "
                    "otherwise check the network and that the camera runs")
        if not self.stamped:
            return "stamps are 0: the driver must fill header.stamp, or nothing can be joined"
        return None

    def advice(self) -> str | None:
        """What may cause trouble later; None when nothing does."""
        if self.age is not None and abs(self.age) > _LATE:
            return (f"messages are {self.age:.1f} s old on arrival: synchronise the machines' "
                    "clocks (chrony); for a recording set use_sim_time and play it with --clock")
        if not self.reliable and self.size > _LARGE:
            return ("large images, best effort: if some are missing, give the camera's process "
                    "config/fastdds.xml, or let it publish reliably and set image_qos:=reliable")
        return None
