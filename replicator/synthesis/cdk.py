"""
An application of the CDK in TypeScript that includes the templates as they are. Pure.

The values become defaults of the templates' parameters, which so stay in the deployed stack: what it was
deployed with can be read from it. `cdk deploy` keeps the values of the deployment before unless it is told
otherwise, hence the script in ``package.json``.

https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.cloudformation_include.CfnInclude.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from replicator.synthesis.deployable import Deployable, Files, templates

LIBRARY: Final = "2.160.0"
"""The least version of aws-cdk-lib that the examples were synthesised with."""

_COMPILER: Final = {
    "target": "ES2022",
    "module": "commonjs",
    "moduleResolution": "node",
    "strict": True,
    "skipLibCheck": True,
    "types": [],
}

_HEAD: Final = """import * as cdk from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";

interface Included extends cdk.StackProps {
  readonly templateFile: string;
  readonly values: Record<string, string>;
}

/** A stack that is a template with values for its parameters. */
class IncludedStack extends cdk.Stack {
  constructor(scope: cdk.App, id: string, props: Included) {
    super(scope, id, props);
    const template = new CfnInclude(this, "Template", { templateFile: props.templateFile });
    for (const [name, value] of Object.entries(props.values)) {
      template.getParameter(name).default = value;
    }
  }
}

// Of another account than the one of your environment: an account beside the region.
const app = new cdk.App();
"""


def files(stacks: Sequence[Deployable]) -> Files:
    """Of each stack its template, ``app.ts``, and what the CDK's command line reads."""
    return {
        **templates(stacks),
        "app.ts": _HEAD + "".join(_stack(stack) for stack in stacks),
        "cdk.json": _json({"app": "npx ts-node --prefer-ts-exts app.ts"}),
        # Without one ts-node takes what suits the version of node, which this file does not.
        "tsconfig.json": _json({"compilerOptions": _COMPILER}),
        "package.json": _json(
            {
                "name": "replicator-stacks",
                "private": True,
                "scripts": {"deploy": "cdk deploy --all --no-previous-parameters"},
                "dependencies": {"aws-cdk-lib": f"^{LIBRARY}", "constructs": "^10.3.0"},
                "devDependencies": {"aws-cdk": "^2.160.0", "ts-node": "^10.9.0", "typescript": "~5.6.0"},
            }
        ),
    }


def _stack(stack: Deployable) -> str:
    properties = {
        "stackName": stack.name,
        "env": {"region": stack.region},
        "tags": dict(sorted(stack.tags.items())),
        "templateFile": stack.file,
        "values": dict(sorted(stack.parameters.items())),
    }
    return f"\nnew IncludedStack(app, {json.dumps(stack.name)}, {json.dumps(properties, indent=2)});\n"


def _json(document: object) -> str:
    return json.dumps(document, indent=2) + "\n"
