"""The JSON bodies of the user service, named as the tutorials name them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from syncline_shop.user.domain import mail_address

# Control characters have no business in a name, and PostgreSQL refuses NUL in any text.
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"


class NewUser(BaseModel):
    """`{"email": "roy@naver.com", "password": "password", "name": "roy"}`."""

    email: Annotated[str, Field(max_length=254), AfterValidator(mail_address)]
    password: Annotated[SecretStr, Field(min_length=8, max_length=128)]
    name: Annotated[str, Field(min_length=2, max_length=50, pattern=PRINTABLE)]


class Credentials(BaseModel):
    """`{"email": "roy@naver.com", "password": "password"}`; any text, for a wrong one is no malformed one."""

    email: Annotated[str, Field(min_length=1, max_length=254, pattern=PRINTABLE)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=128)]


class Refresh(BaseModel):
    """`{"refreshToken": "..."}`, from a login or from the refresh before."""

    refresh_token: Annotated[SecretStr, Field(min_length=1, max_length=200, alias="refreshToken")]
