"""Losing power, said by whoever loses it.

A process that holds some of an agent's power says about once a second which surfaces of it (`Powers`). When a
revocation arrives it takes that power away, and only then says so, in words signed with its own key. Whoever collects
those words (`Hearing`) knows who should have spoken, and names who did not.

Said over core NATS, for a word is of use only while somebody waits for it, and what is to be kept of it stands in the
receipt: `pwr.here.<service>.<replica>`, `pwr.lost.<tenant>.<agent_id>`; `pwr.again.<tenant>.<agent_id>` asks for what
was said already; `pwr.now.<tenant>.<agent_id>` says that a revocation has been written, so that nobody gathers events
before it. Power is lost by the event alone. Knows no service: what a surface is, and how power is taken there, is told
by who holds it.
"""

from chassis.powers.hearing import Heard, Hearing
from chassis.powers.holding import Powers
from chassis.powers.words import Word

__all__ = ["Heard", "Hearing", "Powers", "Word"]
