"""Makes docs/images/live.png: the page with two targets in the simulated scene.

    .venv/bin/python docs/images/screenshot.py docs/images/live.png

Needs Chromium and playwright (pip install 'samwise_ros[dev,live,sim]').
"""

import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

SENTENCES = ("the blue car", "the duck")
SETTLED = 20  # answers after the last command, so that the curves have something to show


def main(out: Path) -> None:
    """Run `samwise live sim`, command it in a browser, and save what that shows."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    process = subprocess.Popen(
        [sys.executable, "-m", "samwise_ros.cli.main", "live", "sim", "--port", "0"],
        stdout=subprocess.PIPE, text=True)
    try:
        url = next(line for line in process.stdout if line.startswith("open ")).split()[1]
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme="light")
            page.set_default_timeout(120e3)
            page.goto(url)
            page.wait_for_selector("canvas[data-number]")
            for count, sentence in enumerate(SENTENCES, 1):
                page.get_by_label("What to look for").fill(sentence)
                page.get_by_role("button", name="Add").click()
                page.wait_for_selector(f".targets li:nth-child({count})[data-state=TRACKING]")
            page.wait_for_function(
                "n => Number(document.querySelector('canvas').dataset.number) >= n",
                arg=SETTLED + int(page.locator("canvas").get_attribute("data-number")))
            page.screenshot(path=out)
            browser.close()
    finally:
        process.terminate()
        process.wait()
    Image.open(out).convert("RGB").quantize(200).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
