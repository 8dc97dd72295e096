"""The scheduler, which decides who runs where and when, and the projector, which folds the log into the jobs view."""
