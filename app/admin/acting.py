"""What happens when staff send a form of the desk: it is done and said, or refused at its field."""

from types import TracebackType
from typing import Self

from flask import flash
from flask_babel import gettext
from flask_wtf import FlaskForm

from app.accounts.form_pages import attach
from app.errors import DomainError


class Acting:
    """Say what came of a block: that it is done, or in the form why not; nothing typed is lost.

    Put a transaction inside: what is refused is rolled back, and what is said to be done is stored.
    """

    def __init__(self, form: FlaskForm, said: str = "") -> None:
        self.form = form
        self.said = said
        self.is_done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, DomainError):
            attach(self.form, error)
            return True
        self.is_done = error is None
        if self.is_done:
            flash(self.said or gettext("Done."), "success")
        return False
