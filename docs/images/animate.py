"""Turns the demo's overlay video into the moving picture of the README.

    make demo
    .venv/bin/python docs/images/animate.py demo_out/overlay.mp4 docs/images/demo.gif
"""

import argparse
import io
from pathlib import Path

import cv2
from PIL import Image

from samwise_ros.streaming.video_io import FrameSource

_SAMPLED = 24  # pictures that the palette is made from
_LIMIT = 2_000_000  # bytes: what a README may cost its readers


def animate(video: Path, width: int, every: int, colours: int) -> bytes:
    """Every n-th frame as a GIF in real time.

    Args:
        video: Any video.
        width: Of the picture [px].
        every: Keep one frame out of this many.
        colours: Of the palette that all frames share, at most 256.
    """
    source = FrameSource(video)
    frames = [frame.rgb for index, frame in enumerate(source) if index % every == 0]
    height = round(frames[0].shape[0] * width / frames[0].shape[1])
    pictures = [Image.fromarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
                for frame in frames]
    # One palette, from pictures of the whole video, and no dithering: still parts stay still,
    # which GIF stores for nothing.
    sample = Image.new("RGB", (width, _SAMPLED * height))
    for row in range(_SAMPLED):
        sample.paste(pictures[row * (len(pictures) - 1) // (_SAMPLED - 1)], (0, row * height))
    # Not by frequency: a small thing may be the only one of its colour.
    palette = sample.quantize(colours, Image.Quantize.MAXCOVERAGE)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    out = io.BytesIO()
    indexed[0].save(out, "GIF", save_all=True, append_images=indexed[1:], loop=0, optimize=False,
                    duration=round(1000 * every / source.rate))
    return out.getvalue()


def main() -> int:
    """Write the picture; 1, and nothing is written, when a README should not carry it."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--colours", type=int, default=64)
    options = parser.parse_args()
    picture = animate(options.video, options.width, options.every, options.colours)
    print(f"{options.out}: {len(picture) / 1e6:.2f} MB")
    if len(picture) > _LIMIT:
        print(f"not written, more than {_LIMIT / 1e6:g} MB: use a larger --every or a smaller "
              "--width")
        return 1
    options.out.write_bytes(picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
