"""Settings of a service: from the environment under one prefix, and nothing unknown goes unnoticed."""

from __future__ import annotations

import difflib
from typing import Any, Literal, TypeVar

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from syncline.errors import ConfigError


class ServiceSettings(BaseSettings):
    """What every service can be told; subclass it with a prefix and fields of your own.

        class OrderSettings(ServiceSettings, env_prefix="ORDER_"):
            topic: str = "orders"       # ORDER_TOPIC

    Read with `load`, which refuses a variable under the prefix that no field knows. A field holding a
    secret is a `SecretStr`; its value is never shown.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free port; the service says which."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain_seconds: float = Field(default=3, ge=0)
    """How long requests under way may take after the signal to stop."""
    max_body_bytes: int = Field(default=1 << 20, ge=0)
    """Of a request; a larger one is answered with 413."""
    registry_url: AnyHttpUrl | None = None
    """Where to register and to look for others, as Eureka's clients have it: `http://127.0.0.1:8761/eureka`.

    Without it the service is found by nobody and finds nobody.
    """
    advertised_host: str = ""
    """Under which others reach this instance; without it the address it is bound to, or the host's name."""
    renew_seconds: int = Field(default=2, ge=1)
    """How often the instance gives the registry a sign of life."""
    lease_seconds: int = Field(default=6, ge=2)
    """How long the registry believes in it without one."""
    weight: float = Field(default=1, gt=0, allow_inf_nan=False)
    """Of this instance under the balancing policy weighted."""
    leave_seconds: float = Field(default=1, ge=0)
    """Between saying that nobody should come any more and closing the door; callers need that long to hear of it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _WholePrefix(settings_cls)


class _WholePrefix(EnvSettingsSource):
    """Every variable under the prefix, so that one no field knows is refused like any extra value.

    Pydantic asks the environment for the fields it has; a misspelt variable would have no effect.
    """

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        prefix = self.env_prefix.lower()
        for name, value in self.env_vars.items():
            field = name.lower().removeprefix(prefix)
            if prefix and name.lower().startswith(prefix) and field not in self.settings_cls.model_fields:
                values[field] = value
        return values

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON for lists and maps; what is none stays text, which the field then refuses by name."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


S = TypeVar("S", bound=ServiceSettings)


def load(kind: type[S]) -> S:
    """The settings from the environment; ConfigError names every variable that is wrong or unknown."""
    try:
        return kind()
    except ValidationError as exc:
        errors: dict[str, list[str]] = {}
        for problem in exc.errors(include_url=False, include_context=False):
            field = str(problem["loc"][0])
            errors.setdefault(_variable(kind, field), []).append(_sentence(kind, field, problem))
        raise ConfigError(errors) from None


def _variable(kind: type[ServiceSettings], field: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{field}".upper()


def _sentence(kind: type[ServiceSettings], field: str, problem: Any) -> str:
    variable = _variable(kind, field)
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, kind.model_fields, n=1)
        known = _variable(kind, near[0]) if near else ", ".join(_variable(kind, f) for f in kind.model_fields)
        return f"{variable} is no setting of this service; {'did you mean' if near else 'known are'} {known}"
    if problem["type"] == "missing":
        return f"{variable} must be set"
    text = problem["msg"].removeprefix("Value error, ")
    secret = field in kind.model_fields and kind.model_fields[field].annotation is SecretStr
    return f"{variable}: {text}" if secret else f"{variable}={problem['input']}: {text}"
