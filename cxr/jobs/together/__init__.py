"""What jobs put together of several stages and of Ray; no commands."""
