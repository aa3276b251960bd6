"""What `samwise doctor` looks at: one function per line of its report, each with its remedy.

Functions take what they judge as arguments, read from this machine by default, so that a bad
machine can be tried on a good one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from samwise_ros.structures import SamwiseError

_GIB = 2**30
_BLOCK = 1 << 20
_OLDEST_PYTHON = (3, 10)
_PACKAGES = ("numpy", "opencv-python", "safetensors", "sam2", "transformers")
_MODULES = {"opencv-python": "cv2"}  # where the import has another name
_FRAMES, _WARM_UP = 5, 2
_CAMERA = (480, 640)


class Status(str, Enum):
    """How a check ended; FAIL makes the exit code 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was looked at.
        status: How it ended.
        detail: What was found.
        remedy: What to do about it; never empty unless the status is OK.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.status is not Status.OK and not self.remedy:
            raise ValueError(f"{self.name}: a check that is not ok needs a remedy")


def check_python(found: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """The interpreter's version, and which one it is."""
    detail = f"{'.'.join(map(str, found))} ({sys.executable}), {platform.machine()}"
    if tuple(found[:2]) < _OLDEST_PYTHON:
        return Check("python", Status.FAIL, detail,
                     "install Python 3.10 or newer and make a new virtual environment with it")
    return Check("python", Status.OK, detail)


def check_packages(names: tuple[str, ...] = _PACKAGES) -> Check:
    """The Python packages that every model needs."""
    found, missing = [], []
    for name in names:
        if find_spec(_MODULES.get(name, name)) is None:
            missing.append(name)
        else:
            found.append(f"{name} {_version(name)}")
    if missing:
        return Check("packages", Status.FAIL, f"not installed: {', '.join(missing)}",
                     f"pip install {' '.join(missing)} (into {sys.prefix})")
    return Check("packages", Status.OK, ", ".join(found))


def _version(name: str) -> str:
    """Version of an installed distribution; opencv comes under several names."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "(from the system)"


def check_torch() -> Check:
    """torch, and whether it sees a GPU that is there."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that a broken build lacks
        return Check("torch", Status.FAIL, f"cannot be imported: {error}",
                     "pip install torch torchvision (on a Jetson: the wheels for your JetPack)")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [torch.cuda.get_device_name(index) for index in range(count)]
    return judge_torch(torch.__version__, torch.version.cuda, names, gpu_in_machine())


def judge_torch(torch_version: str, built_for: str | None, devices: list[str], gpu: bool) -> Check:
    """Judge torch.

    Args:
        torch_version: Its version.
        built_for: CUDA version of the build, None for a CPU build.
        devices: Names of usable CUDA devices.
        gpu: Whether the machine seems to have an NVIDIA GPU.
    """
    if devices:
        return Check("torch", Status.OK, f"{torch_version}, CUDA {built_for}: {', '.join(devices)}")
    if not gpu:
        return Check("torch", Status.OK, f"{torch_version} on the CPU (no NVIDIA GPU found)")
    if built_for is None:
        return Check("torch", Status.WARN, f"{torch_version} is a CPU build, but there is a GPU",
                     "install a CUDA build: https://pytorch.org/get-started (on a Jetson: the "
                     "wheels for your JetPack)")
    detail = f"{torch_version} for CUDA {built_for} sees no usable device"
    return Check("torch", Status.WARN, detail,
                 f"check nvidia-smi: the driver must support CUDA {built_for}; in a container "
                 "start with --gpus all (on a Jetson: --runtime nvidia)")


def gpu_in_machine() -> bool:
    """Whether there is an NVIDIA GPU, as far as the kernel says."""
    return any(Path(path).exists() for path in
               ("/dev/nvidia0", "/proc/driver/nvidia/version", "/etc/nv_tegra_release"))


def check_threads(threads: int | None = None, cores: int | None = None,
                  load: float | None = None) -> Check:
    """CPU threads of torch against the cores that are free.

    Args:
        threads: Of torch; by default its own choice (OMP_NUM_THREADS).
        cores: That this process may use.
        load: Runnable processes besides, averaged over a minute.
    """
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    cores = cores or _usable_cores()
    load = os.getloadavg()[0] if load is None else load
    free = max(1, round(cores - load))
    detail = f"{threads} of torch; {cores} cores, load {load:.1f}"
    if threads > free:
        # Threads wait for one another at every operation: one that is not running stops them all.
        return Check("threads", Status.WARN, f"{detail}: more threads than free cores can be many "
                     "times slower than one", f"set OMP_NUM_THREADS={free} (for the node: the "
                     f"parameter num_threads:={free}), or end what keeps the machine busy")
    return Check("threads", Status.OK, detail)


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def check_memory(available: int | None = None) -> Check:
    """Main memory that can still be had, in bytes (None: read here)."""
    available = _available_memory() if available is None else available
    if available is None:
        return Check("memory", Status.OK, "not known on this system")
    detail = f"{available / _GIB:.1f} GiB available"
    if available < 0.7 * _GIB:
        return Check("memory", Status.FAIL, detail,
                     "nano needs about 0.7 GiB, large models several: end other programs")
    if available < 2 * _GIB:
        return Check("memory", Status.WARN, detail,
                     "enough for nano; the larger models need 2 to 4 GiB")
    return Check("memory", Status.OK, detail)


def _available_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")),
                None)


def check_disk(folder: Path, free: int | None = None) -> Check:
    """Free bytes where weights are kept (None: read here)."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free if free is None else free
    detail = f"{free / _GIB:.1f} GiB free for {folder}"
    if free < 2 * _GIB:
        return Check("disk", Status.WARN, detail, "a released model takes 1 to 2 GiB: make room, "
                     "or set XDG_CACHE_HOME to a folder on another disk")
    return Check("disk", Status.OK, detail)


def check_weights(model: str) -> Check:
    """Whether the model's weights are here, whole, and which files they are."""
    from samwise_ros.model.checkpoint import find_weights
    from samwise_ros.model.frozen_parts import frozen_files, locate

    try:
        found = find_weights(model)
        frozen = "".join(f"; {file.what}: {locate(file)}" for file in frozen_files(found.config))
    except SamwiseError as error:
        return Check("weights", Status.FAIL, str(error),
                     "samwise checkpoint --help says how to download and convert weights")
    numbers = sum(tensor.numel() for tensor in found.state.values())
    return Check("weights", Status.OK, f"{found.config.name}, {numbers / 1e6:.1f} million numbers, "
                 f"sha256 {_sha256(Path(found.what))}, {found.what}{frozen}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_inference(model: str, device: str = "auto", seeded: bool = False,
                    clock: Callable[[], float] = time.perf_counter) -> list[Check]:
    """Load the model offline, tokenise a sentence and time some frames.

    Args:
        model: As for `load_model`.
        device: auto, cpu, cuda or cuda:N.
        seeded: With random weights, which cost the same.
        clock: Seconds.
    """
    import numpy as np

    from samwise_ros.model.checkpoint import load_model
    from samwise_ros.streaming.session import StreamingSession

    try:
        loaded = load_model(model, device=device, seeded=seeded)
        tokens = loaded.tokenizer(["the red cup that moves to the left"])
    except SamwiseError as error:
        return [Check("model", Status.FAIL, str(error),
                      "that says what does not fit; samwise checkpoint inspect tells more")]
    checks = [Check("tokenizer", Status.OK, f"{loaded.tokenizer.vocab_size} entries, offline from "
                    f"{loaded.tokenizer.folder}; 8 words became {tokens.ids.shape[1]} ids")]
    session = StreamingSession(loaded)
    session.submit("the red cup")
    frames = np.random.default_rng(0).integers(0, 256, (_FRAMES, *_CAMERA, 3), np.uint8)
    times = []
    try:
        for frame in frames:
            start = clock()
            session.step(frame)
            times.append(clock() - start)
    except RuntimeError as error:  # out of GPU memory, a kernel that is not in this build
        return [*checks, Check("inference", Status.FAIL, str(error).splitlines()[0],
                               "try --device cpu, or a smaller model")]
    weights = "seeded" if seeded else "these"
    return [*checks, judge_speed(statistics.median(times[_WARM_UP:]),
                                 f"{loaded.config.name} on {loaded.device}, {weights} weights")]


def judge_speed(seconds: float, what: str) -> Check:
    """Judge the time [s] of one 640x480 frame."""
    detail = f"{1e3 * seconds:.0f} ms per 640x480 frame, {1 / seconds:.1f} frames/s: {what}"
    if seconds > 0.5:
        return Check("inference", Status.WARN, detail, "slow for following: use the model nano, a "
                     "smaller image_size or a GPU; see the line `threads` above")
    return Check("inference", Status.OK, detail)
