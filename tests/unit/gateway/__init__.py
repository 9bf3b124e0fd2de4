"""What callers see, on stand-ins held in memory; `fakes` has them."""
