"""The projector: folds the log into the jobs view, and publishes live what was accepted."""

from penstock_projector.projector import Projector

__all__ = ["Projector"]
