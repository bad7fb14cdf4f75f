"""Who is let in (`door`), and how much of what is large or slow at once (`places`)."""

from services.gateway.handlers.door import Gateway, Knock

__all__ = ["Gateway", "Knock"]
