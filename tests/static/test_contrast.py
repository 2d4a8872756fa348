"""The colours reach the contrast that reading needs, in light and dark, in every palette."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).parents[2] / "app" / "static" / "css" / "botyard.css"
TOKEN = re.compile(r"--([a-z-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)")
PALETTE = re.compile(r'\[data-palette="([a-z_]+)"\] \{([^}]*)\}')
READABLE = 4.5
VISIBLE = 3.0


def tokens() -> dict[str, tuple[str, str]]:
    return {name: (light, dark) for name, light, dark in TOKEN.findall(root_block())}


def root_block() -> str:
    return re.search(r":root \{(.*?)\n\}", CSS.read_text(), re.DOTALL)[1]  # type: ignore[index]


def palettes() -> dict[str, dict[str, tuple[str, str]]]:
    found = {"default": tokens()}
    for name, block in PALETTE.findall(CSS.read_text()):
        found[name] = {key: (light, dark) for key, light, dark in TOKEN.findall(block)}
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card"])
@pytest.mark.parametrize("name", ["text", "muted", "accent-strong", "warning", "danger"])
def test_words_can_be_read_on_page_and_card(scheme: int, ground: str, name: str) -> None:
    found = tokens()
    assert contrast(found[name][scheme], found[ground][scheme]) >= READABLE


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card"])
@pytest.mark.parametrize("palette", ["default", "blue_orange", "red_up"])
@pytest.mark.parametrize("name", ["profit", "loss"])
def test_profit_and_loss_can_be_read_in_every_palette(
    scheme: int, ground: str, palette: str, name: str
) -> None:
    colour = palettes()[palette][name][scheme]
    assert contrast(colour, tokens()[ground][scheme]) >= READABLE


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_buttons_and_controls_stand_out(scheme: int) -> None:
    found = tokens()
    assert contrast(found["on-accent"][scheme], found["accent"][scheme]) >= READABLE
    assert contrast(found["control"][scheme], found["page"][scheme]) >= VISIBLE
    assert contrast(found["accent"][scheme], found["page"][scheme]) >= VISIBLE


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("tint", ["tint", "warning-tint", "danger-tint", "good-tint"])
def test_words_can_be_read_on_notices(scheme: int, tint: str) -> None:
    found = tokens()
    assert contrast(found["text"][scheme], found[tint][scheme]) >= READABLE
