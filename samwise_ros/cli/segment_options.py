"""Arguments and options of `samwise segment`, in the words of its help."""

from pathlib import Path
from typing import Annotated

import typer

from samwise_ros.config import Fit, Mode, Precision

VideoArgument = Annotated[Path, typer.Argument(
    metavar="VIDEO|FOLDER|IMAGE|RECORDING",
    help="Video file, folder of images in name order, image, a folder made by `samwise simulate` "
    "(its first video), or a recording of rosbag2 (folder, .mcap or .db3).", show_default=False)]
OutOption = Annotated[Path | None, typer.Option(
    help="Folder for the results; results that it holds are never replaced.", show_default=False)]
TopicOption = Annotated[list[str] | None, typer.Option(
    "--topic", help="Of a recording: topic of images. Repeat it for several cameras. Without it "
    "the topics are listed.", show_default=False)]
DepthTopicOption = Annotated[list[str] | None, typer.Option(
    "--depth-topic", help="Of a recording: depth aligned with the images, once per --topic.",
    show_default=False)]
InfoTopicOption = Annotated[list[str] | None, typer.Option(
    "--info-topic", help="Of a recording: camera_info, once per --topic.", show_default=False)]
OutBagOption = Annotated[Path | None, typer.Option(
    "--out-bag", help="Of a recording: a new one (.mcap) of what the node would have published.",
    show_default=False)]
ExpressionOption = Annotated[list[str] | None, typer.Option(
    "--expression", "-e",
    help="What to find. Repeat it for several targets. A simulated video brings "
    "its own sentences.", show_default=False)]
RerunOption = Annotated[Path | None, typer.Option(
    "--rerun", help="A file (.rrd) for Rerun's viewer: pictures, masks, boxes, places, curves.",
    show_default=False)]
ModeOption = Annotated[Mode, typer.Option(
    help="stream: frame by frame, no look-ahead. clip: the published protocol, windows of 8.")]
SeededOption = Annotated[bool, typer.Option(
    "--seeded", help="Random weights: tries the program, finds nothing.")]
ImageSizeOption = Annotated[int | None, typer.Option(
    help="Longest input side, a multiple of 64. Default: the model's own.")]
FitOption = Annotated[Fit | None, typer.Option(
    help="pad: square input. rectangle: no padding. Default: the model's own.")]
PrecisionOption = Annotated[Precision, typer.Option(
    help="Stream mode only. auto: bf16 on GPUs from Ampere on, else fp32.")]
TokenizerOption = Annotated[Path | None, typer.Option(
    help="Folder with vocab.json and merges.txt, if not beside the weights.")]
MaxFramesOption = Annotated[int | None, typer.Option(min=1, help="Stop after this many frames.")]
