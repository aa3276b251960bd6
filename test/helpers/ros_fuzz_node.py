"""The stand-in node with the real grammar of commands and the real limits on what they ask for."""

from ros_standin_node import RedEngine, RedSession

from samwise_ros.ros.node.node import main
from samwise_ros.streaming.targets import parse_command
from samwise_ros.structures import CommandError, CommandKind

MAX_TARGETS = 16
MAX_LENGTH = 2000  # the tokenizer's limit is 512 tokens


class FuzzSession(RedSession):
    """Refuses what StreamingSession refuses."""

    def submit(self, text: str) -> int:
        command = parse_command(text)
        targets = dict(self._targets)
        if command.kind is CommandKind.CLEAR or command.replace_all:
            targets = {}
        if command.kind is CommandKind.REMOVE and targets.pop(command.target_id, None) is None:
            raise CommandError(f"remove: there is no target {command.target_id!r}")
        if command.kind is CommandKind.ADD:
            if len(command.expression) > MAX_LENGTH:
                raise CommandError(f"the sentence has {len(command.expression)} characters, at "
                                   f"most {MAX_LENGTH} are allowed")
            if len(targets) >= MAX_TARGETS and command.target_id not in targets:
                raise CommandError(f"{MAX_TARGETS} targets are followed already")
            targets[command.target_id] = (command.expression, self._commands + 1)
        self._commands += 1
        self._targets = targets
        return self._commands


class FuzzEngine(RedEngine):
    """Makes such sessions."""

    def new_session(self) -> FuzzSession:
        return FuzzSession(self)


if __name__ == "__main__":
    raise SystemExit(main(engine_factory=FuzzEngine))
