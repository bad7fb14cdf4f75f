"""What is said to whoever starts Provost."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from chassis.embedded import keys
from chassis.embedded.place import Place
from chassis.embedded.settings import Settings
from chassis.embedded.subscribers import tenants_in

say: Callable[[str], None] = partial(print, flush=True)


def greeting(settings: Settings, made: keys.Keys, place: Place, seconds: float) -> str:
    """What someone who has just started Provost, in so many seconds, wants to know."""
    program = Path(sys.executable).parent / "provost"
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    watched = f"\n  witness       http://127.0.0.1:{settings.witness_port}" if settings.witness else ""
    for tenant in tenants_in(settings.subscribers):
        watched += f"\n  subscribe     {place.home / 'keys/subscribers' / f'{tenant}.url'}   (NATS, of tenant {tenant})"
    watched += f"\n  OpenBao       http://127.0.0.1:{settings.vault_port}" if settings.vault else ""
    example = next(iter(sorted(Path("examples").glob("*.log"))), Path("FILE.log"))
    return f"""
Provost is up after {seconds:.1f} s.

  API           http://127.0.0.1:{settings.http_port}   (try /docs)
  gRPC          127.0.0.1:{settings.gateway_port}{watched}
  operator key  {made.api["operator"]}
  approver key  {made.api["approver"]}
  all keys      {made.api_file}
  data          {place.home}
  logs          {place.logs}

Try, in another terminal:
  {program} process {example}

Ctrl-C stops it."""
