"""What is made of the templates and committed: ``python -m tests.constructs.written`` writes it."""

from __future__ import annotations

from typing import Final

from tests.constructs import parameters, terraform_module
from tests.constructs.parameters import ROOT

FILES: Final = {
    "constructs/cdk/src/parameters.ts": parameters.typescript,
    "constructs/terraform/main.tf": terraform_module.main,
    "constructs/terraform/variables.tf": terraform_module.variables,
}
"""What is made -> what makes it."""


def main() -> None:
    """Write them."""
    for name, text in FILES.items():
        (ROOT / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
