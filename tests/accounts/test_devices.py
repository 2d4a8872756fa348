"""Devices are told apart by what people call them."""

import pytest

from app.accounts.devices import device_name

_KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {_KIT} Chrome/150.0.0.0 Safari/537.36",
         "Chrome 150 · Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_KIT} Chrome/140.0 Safari/537.36 Edg/140.0",
         "Edge 140 · Windows"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
         "Firefox 142 · Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
         "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "Safari 18 · iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
         "(KHTML, like Gecko) Version/18.5 Safari/605.1.15", "Safari 18 · macOS"),
        (f"Mozilla/5.0 (Linux; Android 15; SM-S921B) {_KIT} SamsungBrowser/28.0 Chrome/130.0 "
         "Mobile Safari/537.36", "Samsung Internet 28 · Android"),
        ("Mozilla/5.0 (X11; Linux x86_64) Something/1.0", "Linux"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
        ("<script>", "<script>"),
    ],
)  # fmt: skip
def test_a_device_is_named_by_its_browser_and_system(told: str, name: str) -> None:
    assert device_name(told) == name
