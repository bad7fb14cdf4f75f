"""What is inside the image, as a CycloneDX 1.5 document on standard output: `python deploy/sbom.py REPORT VERSION`.

REPORT is what `pip install --report` wrote: every package with the SHA-256 of the file it was installed from, which pip
has compared with requirements/run.lock. No time and no random number is in it: the same lock gives the same bytes.
The base image's own packages are not listed; its publisher does that.
"""

import json
import sys
import uuid
from pathlib import Path

SCHEMA = "http://cyclonedx.org/schema/bom-1.5.schema.json"


def document(report: dict, version: str) -> dict:
    """The bill of materials of what `report` says was installed."""
    components = sorted(map(component, report["install"]), key=lambda each: each["purl"])
    contents = json.dumps([version, components], sort_keys=True)
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, contents)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "provost", "name": "provost", "version": version}
        },
        "components": components,
        "dependencies": [{"ref": "provost", "dependsOn": [each["bom-ref"] for each in components]}],
    }


def component(installed: dict) -> dict:
    """One package; never where it was fetched from."""
    said = installed["metadata"]
    name, version = said["name"].lower().replace("_", "-"), said["version"]
    purl = f"pkg:pypi/{name}@{version}"
    made = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if sha256 := installed["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256"):
        made["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    licence = said.get("license_expression") or said.get("license") or ""
    if licence and len(licence) < 80:
        made["licenses"] = [{"license": {"name": licence}}]
    return made


if __name__ == "__main__":
    made = document(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])
    json.dump(made, sys.stdout, indent=1)
