"""Takes the pictures of README.md: a daily batch in Real World Mode, and the history of the transfer that failed most.

  TRANSFER_WEB_URL=http://127.0.0.1:5001 .build/browser-venv/bin/python Tests/Browser/pictures.py

It adds transfers to the services that run there; ./start_services.sh starts them, and Tests/Browser/run.sh makes the
virtual environment. Writes docs/images.
"""

import os
import pathlib
import re
import time

from playwright.sync_api import sync_playwright

IMAGES = pathlib.Path(__file__).resolve().parents[2] / "docs/images"
SCHEMES = {"light": "", "dark": "-dark"}


def take(page, name):
    for scheme, suffix in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=IMAGES / f"{name}{suffix}.png")


def failed_attempts(text):
    """How many attempts have failed in what a transfer shows."""
    ended = sum(int(count) - 1 for count in re.findall(r"(\d+) attempts", text))
    return ended + sum(int(number) - 1 for number in re.findall(r"\battempt (\d+)", text))


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        page = browser.new_page(
            base_url=os.environ.get("TRANSFER_WEB_URL", "http://127.0.0.1:5001"),
            viewport={"width": 1440, "height": 900})
        page.goto("/")
        page.wait_for_selector("#live[data-state=live]")
        mode = page.get_by_role("switch", name="Real World Mode")
        if mode.get_attribute("aria-checked") == "false":
            mode.click()
        page.get_by_role("button", name="Run batch").click()
        end = time.monotonic() + 120
        most = None
        while True:
            under_way = page.locator("#active > li")
            texts = under_way.all_inner_texts()
            if sum(failed_attempts(text) > 0 for text in texts) >= 3 and len(texts) <= 4:
                most = max(range(len(texts)), key=lambda place: failed_attempts(texts[place]))
                break
            if not texts or time.monotonic() > end:
                page.get_by_role("button", name="Run batch").click()
                end = time.monotonic() + 120
            page.wait_for_timeout(200)
        history = under_way.nth(most).get_by_role("link", name=re.compile("^History"))
        address = history.get_attribute("href")
        page.evaluate("scrollTo(0, 0)")
        take(page, "transfer-page")

        page.set_viewport_size({"width": 1440, "height": 1000})
        page.goto(address)
        page.wait_for_selector("#run-title .badge.completed, #run-title .badge.failed", timeout=600_000)
        page.reload()
        page.locator("#timeline-view [role=option]").first.wait_for()
        page.wait_for_timeout(500)
        take(page, "history-page")
        browser.close()


if __name__ == "__main__":
    main()
