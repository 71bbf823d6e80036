import { createHash } from "crypto";
import * as path from "path";
import { Stack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Construct } from "constructs";
import {
  ApplyParameters,
  AuditParameters,
  BaseParameters,
  CaptureParameters,
  QueueParameters,
  TargetParameters,
  VerifyParameters,
} from "./parameters";
import { MigrationTable } from "./tables";

/** The code of the functions, as `replicator up` has stored it. */
export interface Bundle {
  /** Output BundleBucket of the base stack. */
  readonly bucket: string;
  /** Key of the code in that bucket. */
  readonly key: string;
}

/** One pair of tables of a migration. A stack whose parameters are not given yet is not made. */
export interface PairProps {
  /** The table that is moved. */
  readonly source: MigrationTable;
  /** The table that it is moved to; it need not exist yet. */
  readonly target: MigrationTable;
  /**
   * The pair's id, as `replicator status` shows it.
   *
   * @default - follows from both tables as they are named here
   */
  readonly pair?: string;
  /**
   * How often the pair was started anew.
   *
   * @default 0
   */
  readonly restart?: number;
  /**
   * The stream of the source that the pair is bound to.
   *
   * @default - not known yet; the stacks `capture` and `apply` need it
   */
  readonly streamArn?: string;
  /**
   * The stack `capture`: queue and forwarder.
   *
   * @default - not made
   */
  readonly capture?: CaptureParameters;
  /**
   * The queue alone, in place of `capture` and `apply`, where workers carry the pair.
   *
   * @default - not made
   */
  readonly queue?: QueueParameters;
  /**
   * The stack `target`: the ledger beside the target. All its parameters have defaults: `{}` makes it.
   *
   * @default - not made
   */
  readonly ledger?: TargetParameters;
  /**
   * The stack `apply`: the consumer.
   *
   * @default - not made
   */
  readonly apply?: ApplyParameters;
  /**
   * The stack `audit`: the auditor and its schedule, with `[replication] scheduled_audit = true`.
   *
   * @default - not made
   */
  readonly audit?: AuditParameters;
}

/** What a migration is made of. */
export interface DynamoDbMigrationProps {
  /** `name` of migration.toml. */
  readonly migration: string;
  /** Its pairs; all sources in one account and region, all targets likewise. */
  readonly pairs: PairProps[];
  /**
   * The stack `base`: state table and bucket.
   *
   * @default - keys that AWS owns
   */
  readonly storage?: BaseParameters;
  /**
   * The code of the functions.
   *
   * @default - not known yet; the stacks `capture` and `apply` need it
   */
  readonly bundle?: Bundle;
  /**
   * The stack `verify`: the verification by schedule, with `[verification] every`. All tables are in one account.
   *
   * @default - not made
   */
  readonly verify?: VerifyParameters;
  /**
   * Tags of all stacks.
   *
   * @default - the migration's name only
   */
  readonly tags?: Record<string, string>;
}

type Values = Record<string, string | number | boolean | undefined>;

/**
 * The stacks of a migration, made of the templates that `replicator up` deploys, under the same names: so that
 * `replicator` with `[stack] deployed = true` finds and takes them.
 */
export class DynamoDbMigration extends Construct {
  /** The id of a pair, as the commands make it of both tables as `migration.toml` names them. */
  public static pairId(source: string, target: string): string {
    const digest = createHash("sha256").update(`${source}\0${target}`).digest("hex").slice(0, 8);
    const name = source.startsWith("arn:") ? source.slice(source.lastIndexOf(":table/") + 7) : source;
    const plain = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
    const short = plain.slice(0, 14).replace(/-+$/, "");
    return `${short || "table"}-${digest}`;
  }

  /** The stack `base`. */
  public readonly baseStack: Stack;
  /** All stacks in the order in which they are deployed. */
  public readonly stacks: Stack[] = [];

  private readonly props: DynamoDbMigrationProps;

  constructor(scope: Construct, id: string, props: DynamoDbMigrationProps) {
    super(scope, id);
    this.props = props;
    if (!/^[a-z][a-z0-9-]{0,29}$/.test(props.migration)) {
      throw new Error(`"${props.migration}" is no name of a migration. Give \`name\` of migration.toml.`);
    }
    const [first] = props.pairs;
    if (first === undefined) {
      throw new Error("The migration has no pair. Give at least one in `pairs`.");
    }
    this.baseStack = this.included("base", undefined, first.source, {
      ...props.storage,
      stateTableName: this.stateTable,
    });
    const seen = new Set<string>();
    for (const one of props.pairs) {
      const pair = one.pair ?? DynamoDbMigration.pairId(one.source.configured, one.target.configured);
      if (seen.has(pair)) {
        throw new Error(`The pair ${pair} is given twice. Name each pair of tables once.`);
      }
      seen.add(pair);
      if (!samePlace(one.source, first.source) || !samePlace(one.target, first.target)) {
        throw new Error(`The tables of the pair ${pair} are elsewhere than those of the first. Make another migration.`);
      }
      this.pairOf(pair, one);
    }
    if (props.verify !== undefined) {
      this.verified(props.verify);
    }
  }

  private verified(given: VerifyParameters): void {
    const { bundle, migration, pairs } = this.props;
    const [{ source, target }] = pairs;
    if (bundle === undefined) {
      throw new Error("`verify` needs `bundle`. Leave it out until `replicator restore` has stored the project.");
    }
    if (source.account !== target.account) {
      throw new Error("`verify` builds with a role of one account. Leave it out where the tables are of two.");
    }
    const arns = [...new Set(pairs.flatMap((one) => [one.source.arn, one.target.arn]))].sort();
    this.included("verify", undefined, source, {
      ...given,
      migration,
      tableArns: arns.join(","),
      streamArns: arns.map((one) => `${one}/stream/*`).join(","),
      bundleBucket: bundle.bucket,
      alarmHours: 2 * given.everyHours,
    });
  }

  private pairOf(pair: string, props: PairProps): void {
    const { source, target } = props;
    if (props.queue !== undefined && (props.capture ?? props.apply ?? props.audit) !== undefined) {
      throw new Error(`The pair ${pair} has \`queue\`, which is for workers, beside functions. Leave out one of them.`);
    }
    const of = { migration: this.props.migration, pair };
    const restart = props.restart ?? 0;
    const before: Stack[] = [];
    if (props.queue !== undefined) {
      // Of the same name: what fills the queue differs, and the commands find it there.
      before.push(this.included("capture", pair, source, { ...props.queue, ...of }, "queue"));
    }
    if (props.capture !== undefined) {
      const values = { ...props.capture, ...of, restart, keySchema: source.keys, ...this.known(pair, props) };
      before.push(this.included("capture", pair, source, values));
    }
    if (props.ledger !== undefined) {
      const sourceAccount = source.account === target.account ? "" : source.account;
      const values = { ...props.ledger, ...of, restart, targetTableArn: target.arn, sourceAccount };
      before.push(this.included("target", pair, target, values));
    }
    const ledger = `replicator-${this.props.migration}-${pair}-ledger-${restart}`;
    const ledgerTableArn = `arn:${target.partition}:dynamodb:${target.region}:${target.account}:table/${ledger}`;
    if (props.apply !== undefined) {
      const values = {
        ...props.apply,
        ...of,
        restart,
        sourceTableArn: source.arn,
        sourceKeys: source.keys,
        targetTableArn: target.arn,
        targetKeys: target.keys,
        ledgerTableArn,
        ...this.known(pair, props),
      };
      const consumer = this.included("apply", pair, source, values);
      before.forEach((one) => consumer.addDependency(one));
    }
    if (props.audit !== undefined) {
      const values = { ...props.audit, ...of, sourceTableArn: source.arn, ledgerTableArn, ...this.known(pair, props) };
      const auditor = this.included("audit", pair, source, values);
      before.forEach((one) => auditor.addDependency(one));
    }
  }

  private get stateTable(): string {
    return `replicator-${this.props.migration}-state`;
  }

  /** What the functions of a pair take that an earlier step has made known. */
  private known(pair: string, props: PairProps): Values {
    const { source, streamArn } = props;
    const { bundle } = this.props;
    if (streamArn === undefined || bundle === undefined) {
      throw new Error(
        `The functions of the pair ${pair} need \`streamArn\` of the pair and \`bundle\` of the migration. ` +
          "Leave out `capture`, `apply` and `audit` until `replicator up` has stored the code and turned the stream on.",
      );
    }
    return {
      streamArn,
      stateTableArn: `arn:${source.partition}:dynamodb:${source.region}:${source.account}:table/${this.stateTable}`,
      bundleBucket: bundle.bucket,
      bundleKey: bundle.key,
    };
  }

  /** A stack that is a template with values as defaults of its parameters, which so stay in the deployed stack. */
  private included(part: string, pair: string | undefined, at: MigrationTable, values: Values, file = part): Stack {
    const stackName = ["replicator", this.props.migration, pair, part].filter((one) => one !== undefined).join("-");
    const stack = new Stack(this, stackName, {
      stackName,
      env: { account: at.account, region: at.region },
      tags: { ...this.props.tags, "replicator:migration": this.props.migration },
    });
    const template = new CfnInclude(stack, "Template", {
      templateFile: path.join(__dirname, "..", "templates", `${file}.yaml`),
    });
    for (const [name, value] of Object.entries(values)) {
      if (value !== undefined) {
        template.getParameter(name[0].toUpperCase() + name.slice(1)).default = String(value);
      }
    }
    this.stacks.push(stack);
    return stack;
  }
}

function samePlace(one: MigrationTable, other: MigrationTable): boolean {
  return one.account === other.account && one.region === other.region;
}
