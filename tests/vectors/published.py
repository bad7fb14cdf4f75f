"""What others publish to test readers of notes and tiles with: golang.org/x/mod/sumdb/note and tlog, and c2sp.org."""

TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
PETER = (
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH = (
    "\u2014 EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
BOTH = f"{TEXT}\n{PETER}{ENOCH}"

# None of these is a note, whoever signed it.
NO_NOTES = (
    TEXT,
    f"{TEXT}\n",
    f"{TEXT}\n{PETER[:-1]}",
    f"\x01{TEXT}\n{PETER}",
    f"{TEXT}\n{PETER.replace('PeterNeumann', 'Bad Name')}",
    f"{TEXT}\n{PETER}Unexpected line.\n",
    f"{TEXT}\n{PETER * 101}",
)
# Notes, but not signed by Peter's key: a signature that is his by name and id alone, by name, by id.
NOT_PETERS = (
    f"{TEXT}\n{PETER[:60]}ABCD{PETER[60:]}",
    f"{TEXT}\n{PETER.replace('PeterNeumann', 'CarmenSandiego')}",
    f"{TEXT}\n{PETER.replace('x08g', 'xxxx')}",
    f"{TEXT}\n{ENOCH}",
)

# c2sp.org/tlog-tiles, and what sumdb/tlog tests its paths with, spelled without the height.
TILES = {
    "x001/x234/067": (1_234_067, 0),
    "x123/x456/078": (123_456_078, 0),
    "x123/x456/078.p/2": (123_456_078, 2),
    "x003/x057/500": (3_057_500, 0),
    "x003/x057/500.p/2": (3_057_500, 2),
}
NO_TILES = (
    "123/456/078",
    "x123/x456/78",
    "x3/x057/500",
    "x123/x456/078.p/",
    "x123/x456/078.p/0",
    "x123/x456/078.p/256",
)
