import { Token } from "aws-cdk-lib";
import { Attribute, CfnGlobalTable, CfnTable, ITable } from "aws-cdk-lib/aws-dynamodb";

/** The key of a table. */
export interface TableKeys {
  /** Its hash key. */
  readonly partitionKey: Attribute;
  /**
   * Its range key.
   *
   * @default - the table has none
   */
  readonly sortKey?: Attribute;
}

/** Where a table is. */
export interface TablePlace extends TableKeys {
  /** The table's account, twelve digits. */
  readonly account: string;
  /** The table's region. */
  readonly region: string;
  /**
   * The partition of AWS that it is in.
   *
   * @default "aws"
   */
  readonly partition?: string;
}

/**
 * A table of a migration.
 *
 * Name, account and region have to be known when the app is synthesised: the parameters of the stacks are plain
 * values, so that `replicator up --deployed` can compare them.
 */
export class MigrationTable {
  /** A table by its name. */
  public static fromTableName(name: string, place: TablePlace): MigrationTable {
    return new MigrationTable(name, name, place);
  }

  /** A table by its ARN, for a pair that `migration.toml` names by ARN too. */
  public static fromTableArn(arn: string, keys: TableKeys): MigrationTable {
    const parts = /^arn:([a-z-]+):dynamodb:([a-z0-9-]+):(\d{12}):table\/([A-Za-z0-9_.-]+)$/.exec(arn);
    if (parts === null) {
      throw new Error(`${arn} is no ARN of a table. Give one like arn:aws:dynamodb:eu-west-1:111122223333:table/orders.`);
    }
    const [, partition, region, account, name] = parts;
    return new MigrationTable(name, arn, { ...keys, account, region, partition });
  }

  /**
   * A table of the CDK's: one that is looked up, or one of this app that has a name of its own and stands in a
   * stack whose account and region are given.
   */
  public static fromTable(table: ITable, keys: TableKeys): MigrationTable {
    // Of a table of this app the CDK tells a reference as its name; the name that it was given is its resource's.
    const given = (table.node.defaultChild as CfnTable | CfnGlobalTable | undefined)?.tableName;
    return MigrationTable.fromTableName(given ?? table.tableName, {
      ...keys,
      account: table.env.account,
      region: table.env.region,
    });
  }

  /** The table's ARN. */
  public readonly arn: string;
  /** The table's name. */
  public readonly name: string;
  /** The table as `migration.toml` names it. */
  public readonly configured: string;
  /** The table's account. */
  public readonly account: string;
  /** The table's region. */
  public readonly region: string;
  /** The partition of AWS that it is in. */
  public readonly partition: string;
  /** The key attributes and their types as JSON, the hash key first, as the templates take them. */
  public readonly keys: string;

  private constructor(name: string, configured: string, place: TablePlace) {
    const { account, region } = place;
    for (const [what, value] of Object.entries({ name, account, region })) {
      if (Token.isUnresolved(value)) {
        throw new Error(
          `The ${what} of a table of the migration is not known when the app is synthesised. Give the table a ` +
            "tableName and its stack an env with account and region, or use MigrationTable.fromTableName().",
        );
      }
    }
    this.partition = place.partition ?? "aws";
    [this.name, this.configured, this.account, this.region] = [name, configured, account, region];
    this.arn = `arn:${this.partition}:dynamodb:${region}:${account}:table/${name}`;
    // As Python writes it, since the commands compare the text.
    const attributes = [place.partitionKey, ...(place.sortKey === undefined ? [] : [place.sortKey])];
    this.keys = `{${attributes.map((one) => `${JSON.stringify(one.name)}: "${one.type}"`).join(", ")}}`;
  }
}
