"""Flows: what joins store, channels, model and queues. Each public function is one step of a message's way, safe to run twice."""
