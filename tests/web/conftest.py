from __future__ import annotations

import pytest
import support_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = support_browser.launch(tmp_path_factory.mktemp("profile"))
    yield found
    found.driver.quit()
