"""The scripts that say how far the store is, and that it is whole. All keys of one call lie in one slot.

Any number of processes may fill the store at once: what they write is guarded key by key, and each has a mark of its
own. One alone may wipe it. It says so first, which takes away all marks: who began to fill before has to begin again,
and nobody begins until it is done. So nothing that a wipe deletes is ever said to be there.
"""

from chassis.telemetry import get_logger

POSITION = "applied:{log}:position"
GENERATION = "applied:{log}:generation"
"""Changes whenever the store is filled from nothing: what was written to an earlier one is not in this one."""
FILLINGS = "applied:{log}:fillings"
"""The marks of those that fill it."""
WIPING = "applied:{log}:wiping"
"""Who wipes it."""
FORMAT, FORMATTED = "applied:{log}:format", "6"
"""How things lie in the store. What an older program has left is not read: it is wiped, and filled from the log."""
_LONGEST_POSITION = 20
_log = get_logger("state.store")

# KEYS: position, generation. ARGV: what they must be, the position at least; the new position. Answers 1, or 0 when
# something has been lost and nothing was changed.
ADVANCE = """
local position = tonumber(string.match(redis.call('GET', KEYS[1]) or '', '^%d+$'))
if not position or position < tonumber(ARGV[1]) then return 0 end
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
if position < tonumber(ARGV[3]) then redis.call('SET', KEYS[1], ARGV[3]) end
return 1
"""

# KEYS: fillings, wiping, format. ARGV: mark, format. Answers 1; 0 while somebody wipes; 2 when it must be wiped first.
BEGIN_FILL = """
if redis.call('PTTL', KEYS[2]) >= 0 then return 0 end
if redis.call('GET', KEYS[3]) ~= ARGV[2] then return 2 end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], 86400)
return 1
"""

# KEYS: fillings, position, generation. ARGV: mark, the new position. Answers the generation, or nothing when the mark
# has been lost meanwhile, and nothing was changed.
FINISH_FILL = """
if redis.call('SREM', KEYS[1], ARGV[1]) == 0 then return false end
local position = tonumber(string.match(redis.call('GET', KEYS[2]) or '', '^%d+$'))
if not position then redis.call('SET', KEYS[3], ARGV[1]) end
if not position or position < tonumber(ARGV[2]) then redis.call('SET', KEYS[2], ARGV[2]) end
return redis.call('GET', KEYS[3]) or ''
"""

# KEYS: wiping, position, fillings, format. ARGV: who, for how many milliseconds, the format with which nothing has to
# be wiped (or empty). Answers 1; 0 while another wipes; 2 when nothing has to be. Asked again before every step: who
# has been still for so long that another took its turn does no more. A claim that would never end is nobody's.
CLAIM_WIPE = """
if redis.call('PTTL', KEYS[1]) >= 0 and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' and redis.call('GET', KEYS[4]) == ARGV[3] then return 2 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
return 1
"""

# KEYS: wiping, format. ARGV: who, the format. Answers 1, or 0 when another wipes by now.
END_WIPE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""


def position_of(text: object) -> int | None:
    """The position that `text` is; what is no number is none."""
    if text is None:
        return None
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= _LONGEST_POSITION:
        return int(text)
    _log.warning("position in the store cannot be read, and counts as none", where=POSITION)
    return None
