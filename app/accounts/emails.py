"""E-mail addresses: checked and written in one way, so that each stands for one account."""

import email_validator
from email_validator import EmailNotValidError, validate_email

from app.errors import InvalidInput

MAX_LENGTH = 254
# A company's own network and tests use these; whether mail arrives there is theirs to know.
for _name in ("local", "test"):
    if _name in email_validator.SPECIAL_USE_DOMAIN_NAMES:
        email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(_name)


def masked(email: str) -> str:
    """Return what may be kept for good of an address: enough to recognise it, not to find it."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}…@{domain[:1]}…{domain[domain.rfind('.') :]}"


def normalise(text: str) -> str:
    """Return an address as it is stored; raise InvalidInput when it can't be one."""
    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise InvalidInput("bad_email", field="email")
    try:
        valid = validate_email(text, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        raise InvalidInput("bad_email", field="email") from None
    return (valid.ascii_email or valid.normalized).lower()
