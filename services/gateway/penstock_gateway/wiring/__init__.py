"""The parts of a gateway, put together: one module for each area."""
