"""The scheduling core: pure functions of the folded log and the time given to them."""
