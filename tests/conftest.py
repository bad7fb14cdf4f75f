"""What holds for every test: how long an example takes is measured by benches, and is no reason to fail."""

from hypothesis import settings

settings.register_profile("provost", deadline=None)
settings.load_profile("provost")
