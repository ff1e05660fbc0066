"""What a user is; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from email_validator import EmailNotValidError, validate_email


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who has signed up."""

    user_id: str
    email: str
    name: str
    password_hash: str
    created_at: datetime


def mail_address(text: str) -> str:
    """The address as it is kept; ValueError says why it is none."""
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as exc:
        raise ValueError(f"is no e-mail address: {exc}") from exc


def same_mailbox(address: str) -> str:
    """What two spellings of one address have in common: almost no provider tells a from A."""
    return address.casefold()
