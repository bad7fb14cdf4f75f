"""What the raw lane relies on inside nats-py. When this fails, read `chassis/eventlog/wire.py` against the new one."""

import asyncio
import inspect
from importlib.metadata import version

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from chassis.eventlog.wire import Connection


def test_it_is_the_version_that_was_read() -> None:
    assert version("nats-py").startswith("2.16."), "the raw lane was written against nats-py 2.16"


def test_messages_are_handed_over_where_the_raw_lane_takes_them() -> None:
    parameters = list(inspect.signature(Client._process_msg).parameters)
    assert parameters == ["self", "sid", "subject", "reply", "data", "headers"]
    assert inspect.iscoroutinefunction(Client._process_msg)
    assert "await self.nc._process_msg(sid, subject, reply, payload, hdr)" in inspect.getsource(Parser.parse)
    assert "hdr = hbuf" in inspect.getsource(Parser.parse), "headers arrive as the bytes they were"


def test_what_is_written_waits_in_pending_for_the_flusher() -> None:
    client = Client()
    assert client._pending == []
    assert client._pending_data_size == 0
    assert client._transport is None
    assert "self._transport.writelines(self._pending[:])" in inspect.getsource(Client._flusher)


def test_subscriptions_are_known_by_their_id_and_made_again_after_a_reconnect() -> None:
    assert "self._subs[sid] = sub" in inspect.getsource(Client.subscribe)
    assert "for sid, sub in self._subs.items():" in inspect.getsource(Client._attempt_reconnect)
    assert "self._id = id" in inspect.getsource(Subscription.__init__)


def test_credentials_are_sent_after_tls_and_by_one_command() -> None:
    source = inspect.getsource(Client._process_connect_init)
    assert source.index("connect_tls") < source.index("connect_cmd = self._connect_command()")
    assert '"tls_required" in self._server_info' in source


def test_a_lost_connection_is_told() -> None:
    source = inspect.getsource(Client._attempt_reconnect)
    assert source.index("await self._disconnected_cb()") < source.index("await self._reconnected_cb()")


async def test_messages_reach_the_sink_with_raw_headers(events: Connection) -> None:
    got: list[tuple[bytes, bytes, bytes, bytes | None]] = []
    subscription = await events.listen("raw.>", lambda *message: got.append(message))
    events.write("raw.a", b"reply.to", b"NATS/1.0\r\nA: b\r\n\r\n", b"payload")
    events.write("raw.b", b"", b"", b"")
    await events.flush()
    await events.unlisten(subscription)
    assert got == [
        (b"raw.a", b"reply.to", b"payload", b"NATS/1.0\r\nA: b\r\n\r\n"),
        (b"raw.b", b"", b"", None),
    ]


def test_what_arrives_is_fed_to_the_reader_of_the_transport() -> None:
    assert "self._bare_io_reader = self._io_reader = r" in inspect.getsource(TcpTransport.connect)
    assert "await self._io_reader.read(buffer_size)" in inspect.getsource(TcpTransport.read)
    assert "await self._transport.read(" in inspect.getsource(Client._read_loop)
    assert "reader.feed_data(data)" in inspect.getsource(asyncio.StreamReaderProtocol.data_received)
    assert "self._buffer.extend(data)" in inspect.getsource(asyncio.StreamReader.feed_data)


def test_the_parser_can_be_taken_over_from() -> None:
    assert "self._ps: Parser = Parser(self)" in inspect.getsource(Client.__init__)
    assert "await self._ps.parse(b)" in inspect.getsource(Client._read_loop)
    source = inspect.getsource(Parser.parse)
    assert "if len(self.buf) >= self.needed + CRLF_SIZE:" in source
    assert source.index("del self.buf[: self.needed + CRLF_SIZE]") < source.index(
        "await self.nc._process_msg("
    )
