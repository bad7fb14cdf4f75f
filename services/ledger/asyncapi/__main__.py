"""`python -m services.ledger.asyncapi [FILE]`: writes the document (docs/asyncapi.yaml), as `make gen` does."""

import sys
from pathlib import Path

from services.ledger.asyncapi.document import ROOT, rendered

if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "asyncapi.yaml"
    target.write_text(rendered())
