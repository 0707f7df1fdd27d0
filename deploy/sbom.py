"""Write what is installed as a bill of materials, CycloneDX 1.6: names, versions, licences, addresses.

It tells of the environment that runs it, so run it where lightmeter runs: ``make sbom``.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


NAME = "lightmeter"
UNKNOWN = "UNKNOWN"


def component(found: metadata.Distribution) -> Component:
    """Describe a distribution; a licence only where it is named in a word, an expression or a classifier."""
    about = found.metadata.json
    text = str(about.get("license_expression") or about.get("license") or "").strip()
    named = [word.rpartition(" :: ")[2] for word in about.get("classifier") or () if word.startswith("License :: ")]  # fmt: skip
    said = text if text and "\n" not in text and text != UNKNOWN else " AND ".join(named)
    name = found.metadata["Name"]
    return Component(
        name=name,
        version=found.version,
        type=ComponentType.APPLICATION if name == NAME else ComponentType.LIBRARY,
        purl=PackageURL("pypi", name=name.lower().replace("_", "-"), version=found.version),
        bom_ref=f"{name}=={found.version}",
        licenses=[LicenseFactory().make_from_string(said)] if said else [],
    )


def document(installed: Iterable[metadata.Distribution]) -> str:
    """Make the bill, each distribution once."""
    parts = {one.metadata["Name"].lower(): component(one) for one in installed}
    bom = Bom(components=[part for name, part in parts.items() if name != NAME])
    if root := parts.get(NAME):
        bom.metadata.component = root
        wanted = [re.split(r"[^\w.-]", text)[0].lower() for text in metadata.requires(NAME) or () if "extra ==" not in text]  # fmt: skip
        bom.register_dependency(root, [part for name, part in parts.items() if name in wanted])
    return JsonV1Dot6(bom).output_as_string(indent=2)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(document(metadata.distributions()) + "\n")
    print(out)
