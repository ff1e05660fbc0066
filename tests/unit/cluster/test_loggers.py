"""Log levels at run time, under Kafka Connect's names."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from syncline.cluster.loggers import Loggers
from syncline.errors import BadRequest, ConnectError, NotFound


@pytest.fixture
def loggers() -> Iterator[Loggers]:
    """Over the loggers `of.loggers` and `of.loggers.deep`; all levels are as before afterwards."""
    for name in ("of.loggers", "of.loggers.deep"):
        logging.getLogger(name)
    known = list(logging.root.manager.loggerDict.items())
    levels = [(logger, logger.level) for _, logger in known if isinstance(logger, logging.Logger)]
    before = logging.root.level
    logging.root.setLevel(logging.INFO)
    yield Loggers()
    logging.root.setLevel(before)
    for _, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)
    for logger, level in levels:
        logger.setLevel(level)


def test_a_level_holds_for_all_loggers_below(loggers: Loggers) -> None:
    assert loggers.change("of.loggers", "debug") == ["of.loggers", "of.loggers.deep"]
    assert logging.getLogger("of.loggers.deep").isEnabledFor(logging.DEBUG)
    assert loggers.get("of.loggers.deep").level == "DEBUG"
    assert loggers.get("of.loggers").last_modified is not None


def test_a_level_that_is_there_already_changes_nothing(loggers: Loggers) -> None:
    assert loggers.change("of.loggers", "INFO") == []
    assert loggers.get("of.loggers").last_modified is None


def test_root_changes_every_logger(loggers: Loggers) -> None:
    loggers.change("of.loggers.deep", "TRACE")
    changed = loggers.change("root", "ERROR")
    assert {"root", "of.loggers", "of.loggers.deep"} <= set(changed)
    assert {loggers.get(name).level for name in changed} == {"ERROR"}


def test_a_java_name_speaks_of_the_code_that_does_the_same_here(loggers: Loggers) -> None:
    logging.getLogger("syncline.rest.app").setLevel(logging.NOTSET)
    assert loggers.change("org.apache.kafka.connect.runtime.rest", "DEBUG") == ["org.apache.kafka.connect.runtime.rest"]
    assert logging.getLogger("syncline.rest.app").isEnabledFor(logging.DEBUG)
    assert "org.apache.kafka.connect.runtime.rest" in loggers.all()


def test_off_silences_everything(loggers: Loggers) -> None:
    loggers.change("of.loggers", "OFF")
    assert not logging.getLogger("of.loggers").isEnabledFor(logging.CRITICAL)
    assert loggers.get("of.loggers").level == "OFF"


def test_asking_for_a_logger_does_not_make_one(loggers: Loggers) -> None:
    with pytest.raises(NotFound, match="nobody's"):
        loggers.get("nobody's")
    assert "nobody's" not in loggers.all()


@pytest.mark.parametrize(
    ("level", "kind"), [(None, BadRequest), ("", ConnectError), ("LOUD", NotFound), ("5", NotFound)]
)
def test_a_level_that_is_none_is_refused(loggers: Loggers, level: str | None, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        loggers.change("of.loggers", level)
