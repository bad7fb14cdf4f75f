"""OPA's own engine behind OPA's own API, as far as Provost uses it: for what an OPA server would say.

Run as a program (`python tests/fakes/opa_server.py FILES`), for the engine wants a process to itself: FILES is what
`deploy/opa/files.py` writes. Says its port on the first line.
"""

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opa_bindings import OpaEngine  # type: ignore[import-untyped]


class OpaProcess:
    """The server as a child process."""

    def __init__(self, files: Path) -> None:
        command = [sys.executable, str(Path(__file__)), str(files)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if not said:
            self.stop()
            raise RuntimeError("OPA's engine has not begun")
        self.url = f"http://127.0.0.1:{said}"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    engine: Any

    def do_GET(self) -> None:  # the base class names it so
        self._answer(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:  # the base class names it so
        document = self.path.removeprefix("/v1/data/").replace("/", ".")
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._answer(200, {"result": self.engine.eval_document(document, asked["input"])})

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


def main() -> None:
    files = Path(sys.argv[1])
    engine = OpaEngine()
    engine.add_data(json.loads((files / "data.json").read_text("utf-8")))
    for module in sorted(files.rglob("*.rego")):
        engine.add_policy(module.name, module.read_text("utf-8"))
    _Handler.engine = engine
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
