"""A world inside a program, for tasks and threads: `faces` has its methods, `offers` what they return."""

from __future__ import annotations

from syncnet.local.api import Actor, Blocking, BlockingActor, Syncnet
from syncnet.local.offers import Offer

__all__ = ["Actor", "Blocking", "BlockingActor", "Offer", "Syncnet"]
