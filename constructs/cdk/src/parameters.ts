// Made of the templates by `python -m tests.constructs.written`: change those, not this.

/** Parameters of the template `base`, beside those that follow from the migration. */
export interface BaseParameters {
  /**
   * ARN of the KMS key of the state table; empty for DynamoDB's own.
   *
   * @default ""
   */
  readonly tableKeyArn?: string;
  /**
   * ARN of the KMS key of the bucket; empty for S3's own.
   *
   * @default ""
   */
  readonly bucketKeyArn?: string;
}

/** Parameters of the template `capture`, beside those that follow from the migration. */
export interface CaptureParameters {
  /**
   * What the stream's records carry; without new images every change is read from the source.
   */
  readonly streamViewType: string;
  /**
   * Number of message groups, and so of consumers that can work at once.
   *
   * @default 32
   */
  readonly groups?: number;
  /**
   * Of the function. The bundle holds no compiled code, so the cheaper one will do.
   *
   * @default "arm64"
   */
  readonly architecture?: string;
  /**
   * Memory of the forwarder in MB; its share of a CPU grows with it.
   *
   * @default 512
   */
  readonly memorySize?: number;
  /**
   * Seconds that the forwarder may take for one batch.
   *
   * @default 60
   */
  readonly timeout?: number;
  /**
   * Stream records per call of the forwarder, at most.
   *
   * @default 1000
   */
  readonly batchSize?: number;
  /**
   * Seconds to wait for more records; fuller batches make fewer messages.
   *
   * @default 1
   */
  readonly batchingWindow?: number;
  /**
   * Seconds a message is hidden while a consumer has it. At least the consumer's timeout, or one message is worked on twice at once; AWS recommends six times as much.
   *
   * @default 360
   */
  readonly visibilityTimeout?: number;
  /**
   * Deliveries of one message before it is a dead letter.
   *
   * @default 10
   */
  readonly maxReceiveCount?: number;
  /**
   * SNS topic that is told of alarms; empty for none, the alarms are there anyway.
   *
   * @default ""
   */
  readonly alarmTopicArn?: string;
  /**
   * Whether the forwarder reads the stream.
   *
   * @default true
   */
  readonly enabled?: boolean;
  /**
   * Days that the forwarder's log is kept.
   *
   * @default 30
   */
  readonly logRetentionDays?: number;
  /**
   * ARN of the policy that bounds the role; empty for none.
   *
   * @default ""
   */
  readonly permissionsBoundary?: string;
  /**
   * Path of the role.
   *
   * @default "/"
   */
  readonly rolePath?: string;
  /**
   * Name of the forwarder's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly roleName?: string;
  /**
   * Subnets of the function, with commas between them; empty for no VPC.
   *
   * @default ""
   */
  readonly subnetIds?: string;
  /**
   * Security groups of the function, likewise; there has to be one where there are subnets.
   *
   * @default ""
   */
  readonly securityGroupIds?: string;
  /**
   * ARN of the KMS key of the queue and its dead letters; empty for SQS's own.
   *
   * @default ""
   */
  readonly queueKeyArn?: string;
  /**
   * ARN of the KMS key of the state table, as the base stack has it.
   *
   * @default ""
   */
  readonly tableKeyArn?: string;
  /**
   * ARN of the KMS key of the log; empty for CloudWatch's own.
   *
   * @default ""
   */
  readonly logKeyArn?: string;
}

/** Parameters of the template `queue`, beside those that follow from the migration. */
export interface QueueParameters {
  /**
   * Seconds a message is hidden while a consumer has it. At least the consumer's timeout, or one message is worked on twice at once; AWS recommends six times as much.
   *
   * @default 360
   */
  readonly visibilityTimeout?: number;
  /**
   * Deliveries of one message before it is a dead letter.
   *
   * @default 10
   */
  readonly maxReceiveCount?: number;
  /**
   * SNS topic that is told of alarms; empty for none, the alarms are there anyway.
   *
   * @default ""
   */
  readonly alarmTopicArn?: string;
  /**
   * ARN of the KMS key of the queue and its dead letters; empty for SQS's own.
   *
   * @default ""
   */
  readonly queueKeyArn?: string;
}

/** Parameters of the template `target`, beside those that follow from the migration. */
export interface TargetParameters {
  /**
   * Path of the consumer's role in that account.
   *
   * @default "/"
   */
  readonly sourceRolePath?: string;
  /**
   * What the name of the consumer's role begins with, and a star.
   *
   * @default "replicator-*"
   */
  readonly sourceRoleNames?: string;
  /**
   * ARN of the policy that bounds the role; empty for none.
   *
   * @default ""
   */
  readonly permissionsBoundary?: string;
  /**
   * Path of the role.
   *
   * @default "/"
   */
  readonly rolePath?: string;
  /**
   * Name of the writer's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly roleName?: string;
  /**
   * Name of the reader's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly readerRoleName?: string;
  /**
   * Whether an auditor of the source's account reads the ledger, with a role of its own.
   *
   * @default false
   */
  readonly audited?: boolean;
  /**
   * ARN of the KMS key of the ledger; empty for DynamoDB's own.
   *
   * @default ""
   */
  readonly tableKeyArn?: string;
}

/** Parameters of the template `apply`, beside those that follow from the migration. */
export interface ApplyParameters {
  /**
   * Replay starts at this second of the epoch; earlier changes are in the backup.
   */
  readonly boundary: number;
  /**
   * Output QueueArn of the capture stack.
   */
  readonly queueArn: string;
  /**
   * Output WriterRoleArn of the target stack, where the target is in another account.
   *
   * @default ""
   */
  readonly writerRoleArn?: string;
  /**
   * The pair's transform as module:function; empty for none.
   *
   * @default ""
   */
  readonly transform?: string;
  /**
   * SHA-256 of the package that holds it; another one is refused.
   *
   * @default ""
   */
  readonly transformDigest?: string;
  /**
   * Of a way back, the inverse of the transform as module:function; empty for none.
   *
   * @default ""
   */
  readonly inverse?: string;
  /**
   * SHA-256 of the files of the inverse; another one is refused.
   *
   * @default ""
   */
  readonly inverseDigest?: string;
  /**
   * Whether the transform may change keys.
   *
   * @default false
   */
  readonly rekeys?: boolean;
  /**
   * Of the function. The bundle holds no compiled code, so the cheaper one will do.
   *
   * @default "arm64"
   */
  readonly architecture?: string;
  /**
   * Memory of the consumer in MB; its share of a CPU grows with it.
   *
   * @default 1024
   */
  readonly memorySize?: number;
  /**
   * Seconds that the consumer may take for one batch; at most the queue's visibility timeout.
   *
   * @default 60
   */
  readonly timeout?: number;
  /**
   * Messages per call of the consumer, at most. Each carries many changes.
   *
   * @default 10
   */
  readonly batchSize?: number;
  /**
   * Consumers at once, at most; more than there are groups never work.
   *
   * @default 32
   */
  readonly maximumConcurrency?: number;
  /**
   * Whether the consumer reads the queue. Off until the backfill is complete.
   *
   * @default false
   */
  readonly enabled?: boolean;
  /**
   * Ceiling of write units per second on target and ledger together; 0 for none.
   *
   * @default 0
   */
  readonly writeUnits?: number;
  /**
   * SNS topic that is told of alarms; empty for none, the alarms are there anyway.
   *
   * @default ""
   */
  readonly alarmTopicArn?: string;
  /**
   * Days that the consumer's log is kept.
   *
   * @default 30
   */
  readonly logRetentionDays?: number;
  /**
   * ARN of the policy that bounds the role; empty for none.
   *
   * @default ""
   */
  readonly permissionsBoundary?: string;
  /**
   * Path of the role.
   *
   * @default "/"
   */
  readonly rolePath?: string;
  /**
   * Name of the consumer's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly roleName?: string;
  /**
   * Subnets of the function, with commas between them; empty for no VPC.
   *
   * @default ""
   */
  readonly subnetIds?: string;
  /**
   * Security groups of the function, likewise; there has to be one where there are subnets.
   *
   * @default ""
   */
  readonly securityGroupIds?: string;
  /**
   * ARN of the KMS key of the queue, as the capture stack has it.
   *
   * @default ""
   */
  readonly queueKeyArn?: string;
  /**
   * ARN of the KMS key of the state table, as the base stack has it.
   *
   * @default ""
   */
  readonly tableKeyArn?: string;
  /**
   * ARN of the KMS key of the ledger, as the target stack has it.
   *
   * @default ""
   */
  readonly ledgerKeyArn?: string;
  /**
   * ARN of the KMS key of the log; empty for CloudWatch's own.
   *
   * @default ""
   */
  readonly logKeyArn?: string;
}

/** Parameters of the template `audit`, beside those that follow from the migration. */
export interface AuditParameters {
  /**
   * Output QueueArn of the capture stack.
   */
  readonly queueArn: string;
  /**
   * Output DeadLetterUrl of the capture stack.
   */
  readonly deadLetterUrl: string;
  /**
   * Output ReaderRoleArn of the target stack, where the target is in another account.
   *
   * @default ""
   */
  readonly readerRoleArn?: string;
  /**
   * Of the function. The bundle holds no compiled code, so the cheaper one will do.
   *
   * @default "arm64"
   */
  readonly architecture?: string;
  /**
   * Memory of the auditor in MB; its share of a CPU grows with it.
   *
   * @default 512
   */
  readonly memorySize?: number;
  /**
   * Seconds that one call may take; what it does not get to, the next one reads.
   *
   * @default 900
   */
  readonly timeout?: number;
  /**
   * A change that is not applied and younger than this is under way, not lost.
   *
   * @default 60
   */
  readonly youngSeconds?: number;
  /**
   * How often the auditor is called. It audits when the last audit is half a day old, or was not whole.
   *
   * @default "rate(15 minutes)"
   */
  readonly schedule?: string;
  /**
   * Whether the schedule calls the auditor. Off, the alarm of old audits still watches.
   *
   * @default true
   */
  readonly enabled?: boolean;
  /**
   * SNS topic that is told of alarms; empty for none, the alarms are there anyway.
   *
   * @default ""
   */
  readonly alarmTopicArn?: string;
  /**
   * Days that the auditor's log is kept.
   *
   * @default 30
   */
  readonly logRetentionDays?: number;
  /**
   * ARN of the policy that bounds both roles; empty for none.
   *
   * @default ""
   */
  readonly permissionsBoundary?: string;
  /**
   * Path of both roles.
   *
   * @default "/"
   */
  readonly rolePath?: string;
  /**
   * Name of the auditor's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly roleName?: string;
  /**
   * Name of the schedule's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly scheduleRoleName?: string;
  /**
   * Subnets of the function, with commas between them; empty for no VPC.
   *
   * @default ""
   */
  readonly subnetIds?: string;
  /**
   * Security groups of the function, likewise; there has to be one where there are subnets.
   *
   * @default ""
   */
  readonly securityGroupIds?: string;
  /**
   * ARN of the KMS key of the dead letters, as the capture stack has it.
   *
   * @default ""
   */
  readonly queueKeyArn?: string;
  /**
   * ARN of the KMS key of the state table, as the base stack has it.
   *
   * @default ""
   */
  readonly tableKeyArn?: string;
  /**
   * ARN of the KMS key of the ledger, as the target stack has it.
   *
   * @default ""
   */
  readonly ledgerKeyArn?: string;
  /**
   * ARN of the KMS key of the log; empty for CloudWatch's own.
   *
   * @default ""
   */
  readonly logKeyArn?: string;
}

/** Parameters of the template `verify`, beside those that follow from the migration. */
export interface VerifyParameters {
  /**
   * ARN of the KMS key that signs evidence, as in [gate] signing_key.
   */
  readonly signingKeyArn: string;
  /**
   * Key of the packed project in that bucket. It holds the content's digest, so a change is a new key.
   */
  readonly projectKey: string;
  /**
   * Hours between two builds. A run goes on from one whose streams it can still read, within 23 hours.
   */
  readonly everyHours: number;
  /**
   * ARN of the KMS key that findings are sealed for; empty where [verification] findings_key is none of KMS.
   *
   * @default ""
   */
  readonly findingsKeyArn?: string;
  /**
   * ARNs of the KMS keys of source, target and state table, with commas between them; empty for none.
   *
   * @default ""
   */
  readonly dataKeyArns?: string;
  /**
   * Whether the schedule starts builds. Off, the alarm of old verifications still watches.
   *
   * @default true
   */
  readonly enabled?: boolean;
  /**
   * Image of the build; it has to have Python 3.12 as a runtime.
   *
   * @default "aws/codebuild/standard:7.0"
   */
  readonly image?: string;
  /**
   * Size of the build's machine.
   *
   * @default "BUILD_GENERAL1_MEDIUM"
   */
  readonly computeType?: string;
  /**
   * Minutes that one build may take; one that is ended leaves no evidence, and fails.
   *
   * @default 480
   */
  readonly timeoutMinutes?: number;
  /**
   * SNS topic that is told of alarms; empty for none, the alarms are there anyway.
   *
   * @default ""
   */
  readonly alarmTopicArn?: string;
  /**
   * Days that the builds' log is kept.
   *
   * @default 30
   */
  readonly logRetentionDays?: number;
  /**
   * ARN of the policy that bounds both roles; empty for none.
   *
   * @default ""
   */
  readonly permissionsBoundary?: string;
  /**
   * Path of both roles.
   *
   * @default "/"
   */
  readonly rolePath?: string;
  /**
   * Name of the build's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly roleName?: string;
  /**
   * Name of the schedule's role; empty for one that CloudFormation makes of the stack's.
   *
   * @default ""
   */
  readonly scheduleRoleName?: string;
  /**
   * ARN of the KMS key of the bucket, as the base stack has it.
   *
   * @default ""
   */
  readonly bucketKeyArn?: string;
  /**
   * ARN of the KMS key of the log; empty for CloudWatch's own.
   *
   * @default ""
   */
  readonly logKeyArn?: string;
}
