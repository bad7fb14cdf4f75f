"""A small service of well-known types, so that the chassis is tested without any service's protos."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from pydantic import SecretStr

from chassis import process, telemetry
from chassis.config import ServiceSettings
from chassis.rpc.server import Server

SERVICE = "provost.test.v1.Echo"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Echo:
    """Answers with what it is given; `on_say` and `on_watch` let a test put something else in its place."""

    def __init__(self) -> None:
        self.on_say: Callable[[StringValue, Context], Awaitable[StringValue]] | None = None
        self.on_watch: Callable[[StringValue, Context], AsyncIterator[StringValue]] | None = None
        self.asked = 0

    async def Say(self, request: StringValue, context: Context) -> StringValue:
        self.asked += 1
        return request if self.on_say is None else await self.on_say(request, context)

    async def Keep(self, request: BytesValue, context: Context) -> StringValue:
        return StringValue(value=str(len(request.value)))

    async def Nest(self, request: Struct, context: Context) -> StringValue:
        return StringValue(value=str(len(request.fields)))

    async def Watch(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        if self.on_watch is None:
            for letter in request.value:
                yield StringValue(value=letter)
        else:
            async for answer in self.on_watch(request, context):
                yield answer

    async def Join(self, requests: AsyncIterator[StringValue], context: Context) -> StringValue:
        return StringValue(value="".join([each.value async for each in requests]))

    async def Chat(
        self, requests: AsyncIterator[StringValue], context: Context
    ) -> AsyncIterator[StringValue]:
        async for each in requests:
            yield each


def add_echo_to_server(servicer: Echo, server: Any) -> None:
    """What grpcio-tools would have generated."""
    text: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers: dict[str, Any] = {
        "Say": grpc.unary_unary_rpc_method_handler(servicer.Say, **text),
        "Keep": grpc.unary_unary_rpc_method_handler(
            servicer.Keep,
            request_deserializer=BytesValue.FromString,
            response_serializer=StringValue.SerializeToString,
        ),
        "Nest": grpc.unary_unary_rpc_method_handler(
            servicer.Nest,
            request_deserializer=Struct.FromString,
            response_serializer=StringValue.SerializeToString,
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, **text),
        "Join": grpc.stream_unary_rpc_method_handler(servicer.Join, **text),
        "Chat": grpc.stream_stream_rpc_method_handler(servicer.Chat, **text),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


class EchoStub:
    """What grpcio-tools would have generated; `Raw` sends and answers bytes as they are."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        text: dict[str, Any] = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.Say = channel.unary_unary(f"/{SERVICE}/Say", **text)
        self.Keep = channel.unary_unary(
            f"/{SERVICE}/Keep",
            request_serializer=BytesValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )
        self.Watch = channel.unary_stream(f"/{SERVICE}/Watch", **text)
        self.Join = channel.stream_unary(f"/{SERVICE}/Join", **text)
        self.Chat = channel.stream_stream(f"/{SERVICE}/Chat", **text)
        self.raw: Callable[[str], Any] = lambda method: channel.unary_unary(f"/{SERVICE}/{method}")
        self.raw_watch: Any = channel.unary_stream(f"/{SERVICE}/Watch")
        self.raw_chat: Any = channel.stream_stream(f"/{SERVICE}/Chat")


async def serve(stopping: process.Stopping) -> None:
    """Serve on a port of the system's choosing, printed on standard output; the key is the first argument."""
    settings = ServiceSettings(_env_file=None, internal_key=SecretStr(sys.argv[1]))
    telemetry.configure("echo", settings)  # standard output is for the port
    server = Server(settings, "policy", port=0)
    server.add(add_echo_to_server, Echo())
    await server.start()
    await server.set_serving(True)
    print(server.port, flush=True)
    await stopping.wait()
    await server.stop()


if __name__ == "__main__":
    process.run(serve)
