"""A real browser for tests of pages: headless Chromium, driven by Selenium."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
    "--hide-scrollbars",
)


class Browser:
    """A page in Chromium."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get_log("browser")
        self.driver.get(url)
        self.wait("return document.querySelector('#app').dataset.ready === 'true'")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str, seconds: float = 30) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(condition)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{condition} did not come true; the page says: {self.text()[:500]}")

    def click(self, text: str, within: str = "button") -> None:
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".find(e => e.textContent.trim() === arguments[1] && e.offsetParent !== null)"
        )
        found = self.run(script, within, text)
        assert found is not None, f"there is no {within} '{text}'"
        found.click()

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def complaints(self) -> list[str]:
        """What the browser's console says."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def launch(profile: Path) -> Browser:
    """A browser; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.chrome.service import Service

    program = (
        os.environ.get("CAFFE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if program is None or shutil.which("chromedriver") is None:
        pytest.skip("needs Chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Browser(webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"))))
