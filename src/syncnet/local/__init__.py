"""A runtime inside a program, for tasks and threads: `api` has its methods, `offers` what they return."""

from __future__ import annotations

from syncnet.local.api import Actor, Blocking, BlockingActor, Syncnet
from syncnet.local.offers import Offer

__all__ = ["Actor", "Blocking", "BlockingActor", "Offer", "Syncnet"]
