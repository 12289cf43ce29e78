"""Look at the pages in a real browser: python -m tests.browser.check [--out DIR]

Writes a report and a comparison page, renders both with Chromium at 1280 and 390 pixels, in dark mode, with an
overlay opened, and as PDF, and checks what can be: nothing is wider than the window, dark is dark, the overlay
opens, print has pages. The pictures stay in DIR, to be looked at. It installs nothing and needs
`chromium` or `google-chrome`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from samtune.report import write_comparison, write_report
from tests.report.test_comparison import comparison_page
from tests.report.test_page import full_page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = {"desktop": 1280, "phone": 390}
HEIGHT = 1600

MEASURE = """<script>
addEventListener("load", () => setTimeout(() => {
  const wide = [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll") && !e.closest("svg"))
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className);
  const all = document.documentElement.scrollWidth;
  const target = document.querySelector(":target");
  const place = target ? getComputedStyle(target).position : "none";
  document.title = "measured " + innerWidth + " " + all + " " + place + " " + wide.slice(0, 5).join(" ");
}, 100));
</script>"""


def browse(program: str, page: Path, *words: str, width: int = 1280, hash_: str = "") -> str:
    """Run the browser on a page without a window; returns what it printed."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=5000",
        ]
        command += [f"--user-data-dir={profile}", f"--window-size={width},{HEIGHT}", *words, page.as_uri() + hash_]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout


def framed(page: Path, width: int, folder: Path) -> Path:
    """The page in a frame of this width, since a window has a smallest width that a phone's is below."""
    file = folder / f"{page.stem}-{width}.html"
    file.write_text(
        f"<!doctype html><style>body{{margin:0}}iframe{{border:0;width:{width}px;height:{HEIGHT}px}}</style>"
        f'<iframe src="{page.as_uri()}"></iframe>',
        encoding="utf-8",
    )
    return file


def measured(program: str, page: Path, width: int, folder: Path, hash_: str = "") -> tuple[int, int, str, str]:
    """Width of window and page, what sticks out, and how the opened overlay lies; on a copy with a script."""
    copy = folder / f"{page.stem}-measured.html"
    html = page.read_text(encoding="utf-8")
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace("</body>", f"{MEASURE}</body>")
    copy.write_text(html, encoding="utf-8")
    dom = browse(program, copy, "--dump-dom", width=width, hash_=hash_)
    found = re.search(r"<title>measured (\d+) (\d+) (\S*) ([^<]*)</title>", dom)
    assert found, "the page could not be measured"
    return int(found[1]), int(found[2]), found[4].strip(), found[3]


def shot(program: str, page: Path, file: Path, *words: str, width: int = 1280, hash_: str = "") -> np.ndarray:
    """A screenshot as (H, W, 3) BGR."""
    browse(program, page, f"--screenshot={file}", *words, width=width, hash_=hash_)
    picture = cv2.imread(str(file))
    assert picture is not None, f"no screenshot was written to {file}"
    return np.asarray(picture)


def check(program: str, page: Path, overlay: str, out: Path) -> list[str]:
    """All checks of one page; returns what is wrong."""
    wrong = []
    name = page.stem
    for kind, width in WIDTHS.items():
        window, content, outside, _ = measured(program, page, width, out)
        if content > window or outside:
            wrong.append(f"{name}, {kind}: the page is {content} wide in a window of {window}; sticking out: {outside}")
        light = shot(program, framed(page, width, out), out / f"{name}-{kind}.png", width=max(width, 500))
        if light[:200, :width].mean() < 128 or light[:, :width].std() < 5:
            wrong.append(f"{name}, {kind}: nothing to see, or not light")
    dark = shot(program, page, out / f"{name}-dark.png", "--blink-settings=preferredColorScheme=0")
    if dark.mean() > 100:
        wrong.append(f"{name}: dark mode is not dark")
    shot(program, page, out / f"{name}-overlay.png", hash_=f"#{overlay}")
    if measured(program, page, 1280, out, hash_=f"#{overlay}")[3] != "fixed":
        wrong.append(f"{name}: the overlay #{overlay} does not open")
    browse(program, page, f"--print-to-pdf={out / f'{name}.pdf'}", "--no-pdf-header-footer")
    pages = len(re.findall(rb"/Type\s*/Page\b", (out / f"{name}.pdf").read_bytes()))
    if not 1 <= pages <= 20:
        wrong.append(f"{name}: print has {pages} pages")
    return wrong


def main() -> int:
    """Write, render, check; 0 where all is well, 1 where not, 2 without a browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("browser-check"))
    out = parser.parse_args().out.resolve()
    program = next((found for found in map(shutil.which, NAMES) if found), None)
    if program is None:
        print(f"One of {', '.join(NAMES)} must be installed to look at the pages; none is.", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    report = write_report(out / "specialist.html", full_page())
    comparison = write_comparison(out / "comparison", comparison_page()).rename(out / "comparison.html")
    wrong = check(program, report, "example-best-1", out) + check(program, comparison, "next-2", out)
    print("\n".join(wrong) if wrong else f"Both pages pass; look at the pictures in {out}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
