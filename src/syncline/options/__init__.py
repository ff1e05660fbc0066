"""Declaring configuration: one line per option gives parsing, validation answers, docs and forms."""

from syncline.options.checks import any_case, at_least, between, non_empty, one_of
from syncline.options.load import check_all, load, parse
from syncline.options.option import Importance, Kind, Option, Password, Width, option, options_of

__all__ = [
    "Importance",
    "Kind",
    "Option",
    "Password",
    "Width",
    "any_case",
    "at_least",
    "between",
    "check_all",
    "load",
    "non_empty",
    "one_of",
    "option",
    "options_of",
    "parse",
]
