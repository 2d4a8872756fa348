"""What a browser calls itself, in few words: "Firefox 142 · Windows"."""

import re
from collections.abc import Sequence

# In this order: most browsers also claim to be those that stand further down.
_BROWSERS: Sequence[tuple[str, str]] = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/(\d+)"),
    ("Opera", r"\b(?:OPR|Opera)/(\d+)"),
    ("Samsung Internet", r"\bSamsungBrowser/(\d+)"),
    ("Yandex", r"\bYaBrowser/(\d+)"),
    ("Firefox", r"\b(?:Firefox|FxiOS)/(\d+)"),
    ("Chrome", r"\b(?:Headless)?(?:Chrome|CriOS)/(\d+)"),
    ("Safari", r"\bVersion/(\d+)\S* (?:Mobile/\S+ )?Safari/"),
)
_SYSTEMS: Sequence[tuple[str, str]] = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("Windows", r"\bWindows\b"),
    ("macOS", r"\bMacintosh\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Linux", r"\bLinux\b"),
)


def device_name(user_agent: str) -> str:
    """Return browser and system of a device; what is known of neither is left as it is."""
    browser = next(
        (
            f"{name} {found[1]}"
            for name, mark in _BROWSERS
            if (found := re.search(mark, user_agent))
        ),
        "",
    )
    system = next((name for name, mark in _SYSTEMS if re.search(mark, user_agent)), "")
    return " · ".join(filter(None, (browser, system))) or user_agent
