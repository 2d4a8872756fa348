"""What this subject announces."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanEnded:
    """A right ended or became smaller: what runs beyond `limits_of(user_id)` stops gently."""

    user_id: int
    plan_code: str
