"""Reads one YAML document from standard input and writes it as JSON: run as a file, by whoever cannot wait for it.

Reading a large set takes seconds of a processor, and in a thread it would take them from the decisions beside it.
"""

import json
import sys

from ruamel.yaml import YAML

if __name__ == "__main__":
    json.dump(YAML(typ="safe", pure=True).load(sys.stdin.buffer), sys.stdout)
