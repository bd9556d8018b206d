"""What a team would pick instead, written as well as we can: each runs in a process of its own beside the same sandbox or broker."""
