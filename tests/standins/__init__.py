"""The outside world, stood in for by real HTTP servers on loopback."""
