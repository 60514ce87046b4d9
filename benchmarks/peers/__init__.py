"""The same work through other queues, and without any: what ours is held against."""
