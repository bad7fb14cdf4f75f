"""`python -m chassis.embedded`: all of Provost on this machine, until Ctrl-C.

With `--amnesia`: the amnesia drill, in the run that is there, or in one made for it.
"""

import os
import sys
from functools import partial


def main() -> None:
    """Ctrl-C while all this is still being read ends it quietly: nothing has begun."""
    try:
        _begin()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _begin() -> None:
    drilling = sys.argv[1:] == ["--amnesia"]
    if sys.argv[1:] and not drilling:
        raise SystemExit("python -m chassis.embedded [--amnesia]")
    os.umask(0o077)
    # Children are forked, and gRPC's own handlers for that are of no use between fork and exec.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    from chassis import config, process, telemetry
    from chassis.embedded import keys, ports, services
    from chassis.embedded.drill import ask_for_drill
    from chassis.embedded.place import Occupied, Place
    from chassis.embedded.running import supervise
    from chassis.embedded.settings import Settings

    settings = config.load(Settings, services.settings_classes())
    telemetry.configure("supervisor", settings)
    try:
        with Place(settings.home) as place:
            taken = list(
                ports.troubles(
                    settings.listen_host,
                    services.ports(settings, witnessed=settings.witness, vault_port=settings.own_vault_port),
                )
            )
            if taken:
                raise SystemExit("\n".join(["Provost cannot start:", *(f"  {line}" for line in taken)]))
            made = keys.load_or_create(place.home / "keys")
            process.run(partial(supervise, settings, place, made, drilling))
    except Occupied as occupied:
        if not drilling:
            raise SystemExit(str(occupied)) from None
        raise SystemExit(0 if ask_for_drill(settings.home.resolve()) else 1) from None
    except (PermissionError, ValueError) as trouble:
        raise SystemExit(f"Provost cannot start: {trouble}") from None


if __name__ == "__main__":
    main()
