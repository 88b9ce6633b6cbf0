"""Takes docs/images/page.png: four starts of a Sudoku on the page of `eqr serve`, after their second segment.

Run it from the repository's root: `python docs/figures/page.py`. It needs the extra `test` and chromium.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

PICTURE = Path("docs/images/page.png")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def taken(address: str) -> bytes:
    """Returns the picture of the page at ``address`` after a visit."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1215})
        page.goto(address)
        page.get_by_role("button", name="Hard").click()
        page.get_by_text("Your own", exact=True).click()
        page.get_by_label("Breadth").fill("4")
        page.get_by_role("button", name="Solve").click()
        expect(page.locator("#verdict")).to_have_text("Valid", timeout=60_000)
        page.locator("#segment").fill("2")
        return page.screenshot()


def main() -> None:
    """Start a service, take the picture, end the service."""
    command = [sys.executable, "-m", "eqr", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as service:
        try:
            address = next(filter(None, (re.search(r"http://\S+", line) for line in service.stdout or ())))[0]
            PICTURE.write_bytes(taken(address))
        finally:
            service.terminate()
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
