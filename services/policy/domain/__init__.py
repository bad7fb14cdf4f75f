"""What policy knows, pure: agents, approvals, policy sets, and how a decision is reached."""
