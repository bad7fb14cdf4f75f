"""A real OpenBao for the tests of this folder."""

from tests.fakes.bao_server import bao_server

__all__ = ["bao_server"]
