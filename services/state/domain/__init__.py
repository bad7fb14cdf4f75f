"""What state decides and remembers: agents at work, tasks, and how they look in the store. Pure."""
