"""A generation's way out on the event loop: from the hub's frames to the host's `send`."""
