"""`python deploy/opa/files.py SET.yaml OUT`: what an OPA server needs to decide as Provost does with this policy set.

Writes provost.rego, the set as data (data.json) and each of its custom rules as a module. Needs ruamel.yaml.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).parent


def files_of(document: str) -> dict[str, str]:
    """File name to content."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(document)
    modules = {f"rules/{rule['id']}.rego": rule["rego"] for rule in loaded.pop("rules", [])}
    data = json.dumps({"provost": {"set": loaded}}, indent=1, ensure_ascii=False)
    return {"provost.rego": (HERE / "provost.rego").read_text("utf-8"), "data.json": data + "\n", **modules}


def main() -> int:
    """Write them; returns the exit code."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)  # noqa: T201 - this is what a program says
        return 2
    for name, content in files_of(Path(sys.argv[1]).read_text("utf-8")).items():
        file = Path(sys.argv[2]) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
