"""Time for services: what reads the clock takes one as an argument, so that tests can move it."""

from syncline.clock import SYSTEM_CLOCK, Clock

__all__ = ["SYSTEM_CLOCK", "Clock"]
