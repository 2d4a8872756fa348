"""Templates in the reader's language: templates/mail/<name>/subject.txt and body.txt for mails,
templates/sms/<name>.txt for text messages.
"""

from functools import cache
from pathlib import Path
from typing import Any

from flask_babel import gettext, ngettext
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.config import current_config
from app.i18n import use_locale

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def render_mail(template: str, language: str, values: dict[str, Any]) -> tuple[str, str]:
    """Return subject (one line) and body; a value that is missing is a mistake of ours."""
    values = {"site": current_config().base_url, **values}
    with use_locale(language):
        subject = _environment().get_template(f"mail/{template}/subject.txt").render(values)
        body = _environment().get_template(f"mail/{template}/body.txt").render(values)
    return " ".join(subject.split()), body.strip() + "\n"


def render_text(template: str, language: str, values: dict[str, Any]) -> str:
    """Return the words of a text message, on one line."""
    with use_locale(language):
        words = _environment().get_template(f"sms/{template}.txt").render(values)
    return " ".join(words.split())


@cache
def _environment() -> Environment:
    # Plain text: nothing is escaped, and nothing here is ever shown as HTML.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 # nosec B701
    )
    install = environment.install_gettext_callables  # type: ignore[attr-defined]
    install(gettext, ngettext, newstyle=True)
    return environment
