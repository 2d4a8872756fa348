"""What the accounts tests share: people with a real password, and the mails they got."""

import re
import time

import pyotp

from app.accounts import keys, passwords, second_factor, session_tokens
from app.accounts.models import Role, User
from app.db import db
from app.notifications.queries import CaughtMail, caught_mails
from app.queues import QueueName, queue
from tests.client import Client
from tests.factories import make_user

PASSWORD = "four lamps under water"
EMAIL = "ada@example.org"
SESSION_COOKIE = "session"


def make_person(role: Role = Role.CUSTOMER, *, confirmed: bool = True, email: str = EMAIL) -> User:
    """Add a person who can log in with PASSWORD."""
    user = make_user(role, confirmed=confirmed)
    user.email = email
    user.password_hash = passwords.hash_password(PASSWORD)
    db.session.commit()
    return user


def log_in(client: Client, email: str = EMAIL, password: str = PASSWORD) -> int:
    """Send the log-in form; return the status."""
    return client.post_form("/login", {"email": email, "password": password}).status_code


def mails() -> list[CaughtMail]:
    """Return the mails that were caught, the newest first."""
    return caught_mails()


def newest_code() -> str:
    """Return the digits of the newest mail."""
    found = re.search(r"\b\d{6}\b", mails()[0].body)
    assert found is not None
    return found.group()


def work_off(name: QueueName = QueueName.MESSAGES) -> list[str]:
    """Run the waiting jobs of a queue, as a worker would; return their names."""
    done = []
    for job in queue(name).jobs:
        job.func(*job.args)
        job.delete()
        done.append(job.func_name or "")
    return done


def turn_factor_on(user: User) -> str:
    """Give a person an authenticator; return its secret."""
    secret = second_factor.new_secret()
    second_factor.put_confirmed(user.id, secret)
    db.session.commit()
    return secret


def app_code(secret: str, steps: int = 0) -> str:
    """Return what the authenticator shows now, or so many half minutes from now."""
    return pyotp.TOTP(secret).generate_otp(int(time.time()) // 30 + steps)


def cookie_of(client: Client) -> str | None:
    """Return the session id that this browser holds."""
    cookie = client.get_cookie(SESSION_COOKIE)
    return cookie.value if cookie else None


def session_name(token: str | None) -> str:
    """Return the name of the session that a cookie opens; nothing when it opens none."""
    return session_tokens.key_of(token or "") or ""


def is_signed_in(client: Client) -> bool:
    """Tell whether this browser reaches a page for signed-in people."""
    return client.get("/settings").status_code == 200


def data_key(user_id: int) -> bytes:
    """Return a person's data key, made at first use."""
    return keys._open_current(user_id, keys._stored_or_new(user_id, lock=False))
