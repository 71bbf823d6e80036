# Made of the templates by `python -m tests.constructs.written`: change those, not this.

variable "migration" {
  description = "`name` of migration.toml."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.migration))
    error_message = "This is no name of a migration. Give `name` of migration.toml."
  }
}

variable "tags" {
  description = "Tags of all stacks; the migration's name is added."
  type        = map(string)
  default     = {}
}

variable "bundle_key" {
  description = "Key of the functions' code, as `replicator up` has stored it; `capture` needs it."
  type        = string
  default     = null

  validation {
    condition     = var.bundle_key != null || alltrue([for pair in var.pairs : pair.capture == null])
    error_message = "`capture` needs `bundle_key`. Leave it out until `replicator up` has stored the code."
  }
}

variable "storage" {
  description = "Parameters of the stack `base`: state table and bucket."
  type = object({
    # ARN of the KMS key of the state table; empty for DynamoDB's own.
    table_key_arn = optional(string, "")
    # ARN of the KMS key of the bucket; empty for S3's own.
    bucket_key_arn = optional(string, "")
  })
  default = {}
}

variable "verify" {
  description = "Parameters of the stack `verify`, with `[verification] every`; left out, it is not made."
  type = object({
    # ARN of the KMS key that signs evidence, as in [gate] signing_key.
    signing_key_arn = string
    # Key of the packed project in that bucket. It holds the content's digest, so a change is a new key.
    project_key = string
    # Hours between two builds. A run goes on from one whose streams it can still read, within 23 hours.
    every_hours = number
    # ARN of the KMS key that findings are sealed for; empty where [verification] findings_key is none of KMS.
    findings_key_arn = optional(string, "")
    # ARNs of the KMS keys of source, target and state table, with commas between them; empty for none.
    data_key_arns = optional(string, "")
    # Whether the schedule starts builds. Off, the alarm of old verifications still watches.
    enabled = optional(bool, true)
    # Image of the build; it has to have Python 3.12 as a runtime.
    image = optional(string, "aws/codebuild/standard:7.0")
    # Size of the build's machine.
    compute_type = optional(string, "BUILD_GENERAL1_MEDIUM")
    # Minutes that one build may take; one that is ended leaves no evidence, and fails.
    timeout_minutes = optional(number, 480)
    # SNS topic that is told of alarms; empty for none, the alarms are there anyway.
    alarm_topic_arn = optional(string, "")
    # Days that the builds' log is kept.
    log_retention_days = optional(number, 30)
    # ARN of the policy that bounds both roles; empty for none.
    permissions_boundary = optional(string, "")
    # Path of both roles.
    role_path = optional(string, "/")
    # Name of the build's role; empty for one that CloudFormation makes of the stack's.
    role_name = optional(string, "")
    # Name of the schedule's role; empty for one that CloudFormation makes of the stack's.
    schedule_role_name = optional(string, "")
    # ARN of the KMS key of the bucket, as the base stack has it.
    bucket_key_arn = optional(string, "")
    # ARN of the KMS key of the log; empty for CloudWatch's own.
    log_key_arn = optional(string, "")
  })
  default = null

  validation {
    condition = var.verify == null || length(distinct(flatten([
      for pair in var.pairs : [split(":", pair.source_table_arn)[4], split(":", pair.target_table_arn)[4]]
    ]))) == 1
    error_message = "`verify` builds with a role of one account. Leave it out where the tables are of two."
  }
}

variable "pairs" {
  description = "The pairs by id, as `replicator status` shows it. What is left out of one is not made."
  type = map(object({
    source_table_arn = string
    source_keys      = list(object({ name = string, type = string }))
    target_table_arn = string
    target_keys      = list(object({ name = string, type = string }))
    restart          = optional(number, 0)
    stream_arn       = optional(string)

    capture = optional(object({
      # What the stream's records carry; without new images every change is read from the source.
      stream_view_type = string
      # Number of message groups, and so of consumers that can work at once.
      groups = optional(number, 32)
      # Of the function. The bundle holds no compiled code, so the cheaper one will do.
      architecture = optional(string, "arm64")
      # Memory of the forwarder in MB; its share of a CPU grows with it.
      memory_size = optional(number, 512)
      # Seconds that the forwarder may take for one batch.
      timeout = optional(number, 60)
      # Stream records per call of the forwarder, at most.
      batch_size = optional(number, 1000)
      # Seconds to wait for more records; fuller batches make fewer messages.
      batching_window = optional(number, 1)
      # Seconds a message is hidden while a consumer has it. At least the consumer's timeout, or one message is worked on twice at once; AWS recommends six times as much.
      visibility_timeout = optional(number, 360)
      # Deliveries of one message before it is a dead letter.
      max_receive_count = optional(number, 10)
      # SNS topic that is told of alarms; empty for none, the alarms are there anyway.
      alarm_topic_arn = optional(string, "")
      # Whether the forwarder reads the stream.
      enabled = optional(bool, true)
      # Days that the forwarder's log is kept.
      log_retention_days = optional(number, 30)
      # ARN of the policy that bounds the role; empty for none.
      permissions_boundary = optional(string, "")
      # Path of the role.
      role_path = optional(string, "/")
      # Name of the forwarder's role; empty for one that CloudFormation makes of the stack's.
      role_name = optional(string, "")
      # Subnets of the function, with commas between them; empty for no VPC.
      subnet_ids = optional(string, "")
      # Security groups of the function, likewise; there has to be one where there are subnets.
      security_group_ids = optional(string, "")
      # ARN of the KMS key of the queue and its dead letters; empty for SQS's own.
      queue_key_arn = optional(string, "")
      # ARN of the KMS key of the state table, as the base stack has it.
      table_key_arn = optional(string, "")
      # ARN of the KMS key of the log; empty for CloudWatch's own.
      log_key_arn = optional(string, "")
    }))

    queue = optional(object({
      # Seconds a message is hidden while a consumer has it. At least the consumer's timeout, or one message is worked on twice at once; AWS recommends six times as much.
      visibility_timeout = optional(number, 360)
      # Deliveries of one message before it is a dead letter.
      max_receive_count = optional(number, 10)
      # SNS topic that is told of alarms; empty for none, the alarms are there anyway.
      alarm_topic_arn = optional(string, "")
      # ARN of the KMS key of the queue and its dead letters; empty for SQS's own.
      queue_key_arn = optional(string, "")
    }))

    ledger = optional(object({
      # Path of the consumer's role in that account.
      source_role_path = optional(string, "/")
      # What the name of the consumer's role begins with, and a star.
      source_role_names = optional(string, "replicator-*")
      # ARN of the policy that bounds the role; empty for none.
      permissions_boundary = optional(string, "")
      # Path of the role.
      role_path = optional(string, "/")
      # Name of the writer's role; empty for one that CloudFormation makes of the stack's.
      role_name = optional(string, "")
      # Name of the reader's role; empty for one that CloudFormation makes of the stack's.
      reader_role_name = optional(string, "")
      # ARN of the KMS key of the ledger; empty for DynamoDB's own.
      table_key_arn = optional(string, "")
    }))

    apply = optional(object({
      # Replay starts at this second of the epoch; earlier changes are in the backup.
      boundary = number
      # The pair's transform as module:function; empty for none.
      transform = optional(string, "")
      # SHA-256 of the package that holds it; another one is refused.
      transform_digest = optional(string, "")
      # Of a way back, the inverse of the transform as module:function; empty for none.
      inverse = optional(string, "")
      # SHA-256 of the files of the inverse; another one is refused.
      inverse_digest = optional(string, "")
      # Whether the transform may change keys.
      rekeys = optional(bool, false)
      # Of the function. The bundle holds no compiled code, so the cheaper one will do.
      architecture = optional(string, "arm64")
      # Memory of the consumer in MB; its share of a CPU grows with it.
      memory_size = optional(number, 1024)
      # Seconds that the consumer may take for one batch; at most the queue's visibility timeout.
      timeout = optional(number, 60)
      # Messages per call of the consumer, at most. Each carries many changes.
      batch_size = optional(number, 10)
      # Consumers at once, at most; more than there are groups never work.
      maximum_concurrency = optional(number, 32)
      # Whether the consumer reads the queue. Off until the backfill is complete.
      enabled = optional(bool, false)
      # Ceiling of write units per second on target and ledger together; 0 for none.
      write_units = optional(number, 0)
      # SNS topic that is told of alarms; empty for none, the alarms are there anyway.
      alarm_topic_arn = optional(string, "")
      # Days that the consumer's log is kept.
      log_retention_days = optional(number, 30)
      # ARN of the policy that bounds the role; empty for none.
      permissions_boundary = optional(string, "")
      # Path of the role.
      role_path = optional(string, "/")
      # Name of the consumer's role; empty for one that CloudFormation makes of the stack's.
      role_name = optional(string, "")
      # Subnets of the function, with commas between them; empty for no VPC.
      subnet_ids = optional(string, "")
      # Security groups of the function, likewise; there has to be one where there are subnets.
      security_group_ids = optional(string, "")
      # ARN of the KMS key of the queue, as the capture stack has it.
      queue_key_arn = optional(string, "")
      # ARN of the KMS key of the state table, as the base stack has it.
      table_key_arn = optional(string, "")
      # ARN of the KMS key of the ledger, as the target stack has it.
      ledger_key_arn = optional(string, "")
      # ARN of the KMS key of the log; empty for CloudWatch's own.
      log_key_arn = optional(string, "")
    }))

    audit = optional(object({
      # Of the function. The bundle holds no compiled code, so the cheaper one will do.
      architecture = optional(string, "arm64")
      # Memory of the auditor in MB; its share of a CPU grows with it.
      memory_size = optional(number, 512)
      # Seconds that one call may take; what it does not get to, the next one reads.
      timeout = optional(number, 900)
      # A change that is not applied and younger than this is under way, not lost.
      young_seconds = optional(number, 60)
      # How often the auditor is called. It audits when the last audit is half a day old, or was not whole.
      schedule = optional(string, "rate(15 minutes)")
      # Whether the schedule calls the auditor. Off, the alarm of old audits still watches.
      enabled = optional(bool, true)
      # SNS topic that is told of alarms; empty for none, the alarms are there anyway.
      alarm_topic_arn = optional(string, "")
      # Days that the auditor's log is kept.
      log_retention_days = optional(number, 30)
      # ARN of the policy that bounds both roles; empty for none.
      permissions_boundary = optional(string, "")
      # Path of both roles.
      role_path = optional(string, "/")
      # Name of the auditor's role; empty for one that CloudFormation makes of the stack's.
      role_name = optional(string, "")
      # Name of the schedule's role; empty for one that CloudFormation makes of the stack's.
      schedule_role_name = optional(string, "")
      # Subnets of the function, with commas between them; empty for no VPC.
      subnet_ids = optional(string, "")
      # Security groups of the function, likewise; there has to be one where there are subnets.
      security_group_ids = optional(string, "")
      # ARN of the KMS key of the dead letters, as the capture stack has it.
      queue_key_arn = optional(string, "")
      # ARN of the KMS key of the state table, as the base stack has it.
      table_key_arn = optional(string, "")
      # ARN of the KMS key of the ledger, as the target stack has it.
      ledger_key_arn = optional(string, "")
      # ARN of the KMS key of the log; empty for CloudWatch's own.
      log_key_arn = optional(string, "")
    }))
  }))

  validation {
    condition     = alltrue([for pair in var.pairs : pair.capture == null || pair.stream_arn != null])
    error_message = "`capture` needs `stream_arn`. Leave it out until `replicator up` has turned it on."
  }

  validation {
    condition = alltrue([
      for pair in var.pairs :
      (pair.apply == null && pair.audit == null) || (pair.capture != null && pair.ledger != null)
    ])
    error_message = "`apply` and `audit` take the queue of `capture` and the ledger. Give both."
  }

  validation {
    condition     = alltrue([for pair in var.pairs : pair.queue == null || pair.capture == null])
    error_message = "`queue` is for workers, `capture` for functions. Leave out one of them."
  }
}
