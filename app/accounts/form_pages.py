"""What pages with a form have in common: their status, and errors of a service beside the field."""

from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from app.errors import DomainError
from app.i18n import describe

UNPROCESSABLE = 422


def form_page(template: str, form: FlaskForm, **values: Any) -> ResponseReturnValue:
    """Render a page with its form: 422 when the form has errors."""
    status = UNPROCESSABLE if form.errors else 200
    return render_template(template, form=form, **values), status


def attach(form: FlaskForm, error: DomainError) -> None:
    """Show an error at the field that it names, else above the form."""
    message = describe(error)
    if error.field and error.field in form:
        form[error.field].errors = [*form[error.field].errors, message]
    else:
        form.form_errors = [*form.form_errors, message]
