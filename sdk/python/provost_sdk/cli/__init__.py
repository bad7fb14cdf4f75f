"""The `provost` command. Exit codes are the same everywhere; `provost_sdk.cli.session.Exit` says what they mean."""


def main() -> None:
    """The console script."""
    from provost_sdk.cli.app import app

    app()
