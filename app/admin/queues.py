"""Queues: what waits, what failed and why, and putting a failed job back."""

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_babel import gettext
from flask_login import current_user

from app import health, queues
from app.accounts import audit
from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.base import StaffPage
from app.transactions import transaction


class QueuesPage(StaffPage):
    """Queues, workers and failed jobs, read from RQ's own registries."""

    permission = Permission.QUEUES_VIEW

    @expose("/")
    def index(self) -> ResponseReturnValue:
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/queues.html",
            health=health.overview(),
            failed=queues.failed_jobs(),
            may_requeue=current_may(Permission.QUEUES_REQUEUE),
        )

    @expose("/requeue", methods=("POST",))
    def requeue(self) -> ResponseReturnValue:
        """Put one failed job back into its queue."""
        if not current_may(Permission.QUEUES_REQUEUE):
            return self.inaccessible_callback("requeue")
        job_id = request.form.get("job_id", "")[:200]
        if queues.requeue(job_id):
            with transaction():
                audit.record("job.requeued", "job", job_id, actor_id=current_user.id)
            flash(gettext("The job waits in its queue again."), "success")
        else:
            flash(gettext("This job is no longer among the failed ones."), "warning")
        return redirect(url_for("admin_queues.index"))
