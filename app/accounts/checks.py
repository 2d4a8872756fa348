"""What an operator should know before the first administrator is made: plain data, no secrets."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from app import health
from app.adapters.messages import Channel, Verdict
from app.adapters.messages.email import EmailChannel
from app.config import Config, current_config

CHECK_TIMEOUT_S = 4
EPHEMERAL_KEY = "ephemeral"


class Grade(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked; `code` has a sentence on the page."""

    subject: str
    grade: Grade
    code: str
    detail: str = ""


def check_installation(host: str) -> list[Finding]:
    """Check secrets, mail, address (`host` is how the operator came here) and exchanges."""
    config = current_config()
    checks: tuple[Callable[[], Finding], ...] = (
        lambda: check_secrets(config),
        lambda: check_mail(config),
        lambda: check_address(config, host),
        lambda: check_exchanges(config),
    )
    return [check() for check in checks]


def check_secrets(config: Config) -> Finding:
    """Tell whether stored secrets can still be opened after a restart."""
    if config.key_ring.current == EPHEMERAL_KEY:
        return Finding("secrets", Grade.PROBLEM, "secrets_ephemeral")
    return Finding("secrets", Grade.OK, "secrets_kept")


def check_mail(config: Config) -> Finding:
    """Ask the mail server, or say where mails stay."""
    if not config.smtp_url:
        if config.is_production:
            return Finding("mail", Grade.PROBLEM, "mail_missing")
        return Finding("mail", Grade.WARNING, "mail_caught")
    channel: Channel = EmailChannel(config.smtp_url, config.mail_from, CHECK_TIMEOUT_S)
    answer = channel.check()
    if answer.verdict is Verdict.SENT:
        return Finding("mail", Grade.OK, "mail_works")
    return Finding("mail", Grade.PROBLEM, answer.reason)


def check_address(config: Config, host: str) -> Finding:
    """Compare the address that stands in mails and links with the one that was used."""
    own = config.base_url.split("://", 1)[-1]
    if own != host:
        return Finding("address", Grade.WARNING, "address_differs", config.base_url)
    if not config.https:
        return Finding("address", Grade.WARNING, "address_plain", config.base_url)
    return Finding("address", Grade.OK, "address_fits", config.base_url)


def check_exchanges(config: Config) -> Finding:
    """Tell where prices come from and whether they arrive."""
    states = [state for state in health.overview().exchanges if state.enabled]
    fresh = [
        state.name
        for state in states
        if state.newest_price_at is not None and state.grade is health.Grade.OK
    ]
    if not fresh:
        return Finding("exchanges", Grade.PROBLEM, "exchanges_silent")
    return Finding("exchanges", Grade.OK, f"prices_{config.market_source}", ", ".join(fresh))
