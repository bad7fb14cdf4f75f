"""The `provost` command. Exit codes are the same everywhere; `provost_sdk.cli.session.Exit` says what they mean."""


def main() -> None:
    """The console script."""
    try:
        from provost_sdk.cli.app import app
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # Ctrl-C while it is still being read, as later

    app()
