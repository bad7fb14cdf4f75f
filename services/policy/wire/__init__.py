"""Between policy's domain and its protos."""

from services.policy.wire.codec import CODEC

__all__ = ["CODEC"]
