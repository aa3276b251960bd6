"""What killed processes leave in shared memory. No ROS import."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PATIENCE = 60.0  # seconds


def sweep_shared_memory() -> None:
    """Remove Fast DDS segments and ports of processes that have ended without a chance to do so.

    With `config/fastdds.xml` each of them is some 35 MB of main memory, until the machine is
    started anew. Fast DDS's own tool tells them by their locks, which end with a process. Nothing
    happens where there is no such tool, or it does not run.
    """
    # The tool starts `python3`, which has to be the one with its dependencies.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    tool = shutil.which("fastdds", path=path)
    if tool is not None:
        subprocess.run([tool, "shm", "clean"], env=os.environ | {"PATH": path}, timeout=_PATIENCE,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
