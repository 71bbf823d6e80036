"""The order in which a newcomer needs the pages. A page that stands in no chapter ends the strict build."""

ROOT_PAGE = "README.md"

NAVIGATION = {
    "Begin": (
        "docs/is-it-for-me.md",
        "docs/tutorial.md",
        "docs/tutorial-replicator.md",
        "docs/tutorial-cutback.md",
        "docs/demo-aws.md",
    ),
    "Set up": (
        "docs/configuration.md",
        "docs/permissions.md",
        "docs/deploy-with-your-stack.md",
        "docs/deploy-with-cdk.md",
        "docs/deploy-with-terraform.md",
        "docs/transforms.md",
    ),
    "Use": (
        "docs/commands.md",
        "docs/checks.md",
        "docs/exports.md",
        "docs/spark.md",
        "docs/operating.md",
        "docs/worker.md",
        "docs/report.md",
        "docs/ci.md",
    ),
    "Extend": (
        "docs/plugins.md",
        "docs/api.md",
        "examples/shop-rules/README.md",
    ),
    "What it is worth": (
        "docs/promises.md",
        "docs/evidence.md",
        "docs/benchmarks.md",
        "docs/field-reports.md",
        "docs/aws.md",
        "findings/README.md",
    ),
    "The project": (
        "docs/design.md",
        "docs/contributing.md",
        "CHANGELOG.md",
    ),
}
"""Chapter -> pages, as paths from the root of the repository."""


def toctrees() -> str:
    """What the root page is given at its end, in the site only: GitHub would show it as text."""
    return "".join(
        f"\n\n```{{toctree}}\n:caption: {chapter}\n:hidden:\n\n"
        + "\n".join(f"/{page}" for page in pages)
        + "\n```\n"
        for chapter, pages in NAVIGATION.items()
    )
