# Made of the templates by `python -m tests.constructs.written`: change those, not this.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source                = "hashicorp/aws"
      version               = "~> 5.100"
      configuration_aliases = [aws.source, aws.target]
    }
  }
}

locals {
  tags = merge(var.tags, { "replicator:migration" = var.migration })

  # As Python writes it, since the commands compare the text.
  source_keys = { for id, pair in var.pairs : id => "{${join(", ", [
    for one in pair.source_keys : "${jsonencode(one.name)}: ${jsonencode(one.type)}"
  ])}}" }
  target_keys = { for id, pair in var.pairs : id => "{${join(", ", [
    for one in pair.target_keys : "${jsonencode(one.name)}: ${jsonencode(one.type)}"
  ])}}" }

  # Of the consumer, where it is another one than the target's.
  accounts = { for id, pair in var.pairs : id => split(":", pair.source_table_arn)[4] }
  source_accounts = { for id, pair in var.pairs : id =>
    local.accounts[id] == split(":", pair.target_table_arn)[4] ? "" : local.accounts[id]
  }

  # Every source and target, in the order in which the commands name them.
  tables = sort(distinct(flatten([for pair in var.pairs : [pair.source_table_arn, pair.target_table_arn]])))
}

locals {
  base = {
    name = "replicator-${var.migration}-base"
    parameters = {
      StateTableName = "replicator-${var.migration}-state"
      TableKeyArn    = var.storage.table_key_arn
      BucketKeyArn   = var.storage.bucket_key_arn
    }
  }
}

resource "aws_cloudformation_stack" "base" {
  # checkov:skip=CKV_AWS_124:The commands read what becomes of a stack, and its alarms go to AlarmTopicArn.
  provider = aws.source

  name          = local.base.name
  template_body = file("${path.module}/../../replicator/stack/templates/base.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = local.base.parameters
  tags          = local.tags
}

locals {
  capture = { for id, pair in var.pairs : id => {
    name = "replicator-${var.migration}-${id}-capture"
    parameters = {
      Migration           = var.migration
      Pair                = id
      Restart             = tostring(pair.restart)
      StreamArn           = pair.stream_arn
      StreamViewType      = pair.capture.stream_view_type
      KeySchema           = local.source_keys[id]
      Groups              = tostring(pair.capture.groups)
      StateTableArn       = aws_cloudformation_stack.base.outputs["StateTableArn"]
      BundleBucket        = aws_cloudformation_stack.base.outputs["BundleBucket"]
      BundleKey           = var.bundle_key
      Architecture        = pair.capture.architecture
      MemorySize          = tostring(pair.capture.memory_size)
      Timeout             = tostring(pair.capture.timeout)
      BatchSize           = tostring(pair.capture.batch_size)
      BatchingWindow      = tostring(pair.capture.batching_window)
      VisibilityTimeout   = tostring(pair.capture.visibility_timeout)
      MaxReceiveCount     = tostring(pair.capture.max_receive_count)
      AlarmTopicArn       = pair.capture.alarm_topic_arn
      Enabled             = tostring(pair.capture.enabled)
      LogRetentionDays    = tostring(pair.capture.log_retention_days)
      PermissionsBoundary = pair.capture.permissions_boundary
      RolePath            = pair.capture.role_path
      RoleName            = pair.capture.role_name
      SubnetIds           = pair.capture.subnet_ids
      SecurityGroupIds    = pair.capture.security_group_ids
      QueueKeyArn         = pair.capture.queue_key_arn
      TableKeyArn         = pair.capture.table_key_arn
      LogKeyArn           = pair.capture.log_key_arn
    }
  } if pair.capture != null }
}

resource "aws_cloudformation_stack" "capture" {
  # checkov:skip=CKV_AWS_124:The commands read what becomes of a stack, and its alarms go to AlarmTopicArn.
  for_each = local.capture
  provider = aws.source

  name          = each.value.name
  template_body = file("${path.module}/../../replicator/stack/templates/capture.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = each.value.parameters
  tags          = local.tags
}

locals {
  queue = { for id, pair in var.pairs : id => {
    name = "replicator-${var.migration}-${id}-capture"
    parameters = {
      Migration         = var.migration
      Pair              = id
      VisibilityTimeout = tostring(pair.queue.visibility_timeout)
      MaxReceiveCount   = tostring(pair.queue.max_receive_count)
      AlarmTopicArn     = pair.queue.alarm_topic_arn
      QueueKeyArn       = pair.queue.queue_key_arn
    }
  } if pair.queue != null }
}

resource "aws_cloudformation_stack" "queue" {
  # checkov:skip=CKV_AWS_124:The commands read what becomes of a stack, and its alarms go to AlarmTopicArn.
  for_each = local.queue
  provider = aws.source

  name          = each.value.name
  template_body = file("${path.module}/../../replicator/stack/templates/queue.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = each.value.parameters
  tags          = local.tags
}

locals {
  target = { for id, pair in var.pairs : id => {
    name = "replicator-${var.migration}-${id}-target"
    parameters = {
      Migration           = var.migration
      Pair                = id
      Restart             = tostring(pair.restart)
      TargetTableArn      = pair.target_table_arn
      SourceAccount       = local.source_accounts[id]
      SourceRolePath      = pair.ledger.source_role_path
      SourceRoleNames     = pair.ledger.source_role_names
      PermissionsBoundary = pair.ledger.permissions_boundary
      RolePath            = pair.ledger.role_path
      RoleName            = pair.ledger.role_name
      ReaderRoleName      = pair.ledger.reader_role_name
      Audited             = tostring(pair.audit != null)
      TableKeyArn         = pair.ledger.table_key_arn
    }
  } if pair.ledger != null }
}

resource "aws_cloudformation_stack" "target" {
  # checkov:skip=CKV_AWS_124:The commands read what becomes of a stack, and its alarms go to AlarmTopicArn.
  for_each = local.target
  provider = aws.target

  name          = each.value.name
  template_body = file("${path.module}/../../replicator/stack/templates/target.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = each.value.parameters
  tags          = local.tags
}

locals {
  apply = { for id, pair in var.pairs : id => {
    name = "replicator-${var.migration}-${id}-apply"
    parameters = {
      Migration           = var.migration
      Pair                = id
      Restart             = tostring(pair.restart)
      StreamArn           = pair.stream_arn
      Boundary            = tostring(pair.apply.boundary)
      QueueArn            = aws_cloudformation_stack.capture[id].outputs["QueueArn"]
      SourceTableArn      = pair.source_table_arn
      SourceKeys          = local.source_keys[id]
      TargetTableArn      = pair.target_table_arn
      TargetKeys          = local.target_keys[id]
      LedgerTableArn      = aws_cloudformation_stack.target[id].outputs["LedgerTableArn"]
      WriterRoleArn       = lookup(aws_cloudformation_stack.target[id].outputs, "WriterRoleArn", "")
      Transform           = pair.apply.transform
      TransformDigest     = pair.apply.transform_digest
      Inverse             = pair.apply.inverse
      InverseDigest       = pair.apply.inverse_digest
      Rekeys              = tostring(pair.apply.rekeys)
      StateTableArn       = aws_cloudformation_stack.base.outputs["StateTableArn"]
      BundleBucket        = aws_cloudformation_stack.base.outputs["BundleBucket"]
      BundleKey           = var.bundle_key
      Architecture        = pair.apply.architecture
      MemorySize          = tostring(pair.apply.memory_size)
      Timeout             = tostring(pair.apply.timeout)
      BatchSize           = tostring(pair.apply.batch_size)
      MaximumConcurrency  = tostring(pair.apply.maximum_concurrency)
      Enabled             = tostring(pair.apply.enabled)
      WriteUnits          = tostring(pair.apply.write_units)
      AlarmTopicArn       = pair.apply.alarm_topic_arn
      LogRetentionDays    = tostring(pair.apply.log_retention_days)
      PermissionsBoundary = pair.apply.permissions_boundary
      RolePath            = pair.apply.role_path
      RoleName            = pair.apply.role_name
      SubnetIds           = pair.apply.subnet_ids
      SecurityGroupIds    = pair.apply.security_group_ids
      QueueKeyArn         = pair.apply.queue_key_arn
      TableKeyArn         = pair.apply.table_key_arn
      LedgerKeyArn        = pair.apply.ledger_key_arn
      LogKeyArn           = pair.apply.log_key_arn
    }
  } if pair.apply != null }
}

resource "aws_cloudformation_stack" "apply" {
  # checkov:skip=CKV_AWS_124:The commands read what becomes of a stack, and its alarms go to AlarmTopicArn.
  for_each = local.apply
  provider = aws.source

  name          = each.value.name
  template_body = file("${path.module}/../../replicator/stack/templates/apply.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = each.value.parameters
  tags          = local.tags
}

locals {
  audit = { for id, pair in var.pairs : id => {
    name = "replicator-${var.migration}-${id}-audit"
    parameters = {
      Migration           = var.migration
      Pair                = id
      StreamArn           = pair.stream_arn
      QueueArn            = aws_cloudformation_stack.capture[id].outputs["QueueArn"]
      DeadLetterUrl       = aws_cloudformation_stack.capture[id].outputs["DeadLetterUrl"]
      SourceTableArn      = pair.source_table_arn
      LedgerTableArn      = aws_cloudformation_stack.target[id].outputs["LedgerTableArn"]
      ReaderRoleArn       = lookup(aws_cloudformation_stack.target[id].outputs, "ReaderRoleArn", "")
      StateTableArn       = aws_cloudformation_stack.base.outputs["StateTableArn"]
      BundleBucket        = aws_cloudformation_stack.base.outputs["BundleBucket"]
      BundleKey           = var.bundle_key
      Architecture        = pair.audit.architecture
      MemorySize          = tostring(pair.audit.memory_size)
      Timeout             = tostring(pair.audit.timeout)
      YoungSeconds        = tostring(pair.audit.young_seconds)
      Schedule            = pair.audit.schedule
      Enabled             = tostring(pair.audit.enabled)
      AlarmTopicArn       = pair.audit.alarm_topic_arn
      LogRetentionDays    = tostring(pair.audit.log_retention_days)
      PermissionsBoundary = pair.audit.permissions_boundary
      RolePath            = pair.audit.role_path
      RoleName            = pair.audit.role_name
      ScheduleRoleName    = pair.audit.schedule_role_name
      SubnetIds           = pair.audit.subnet_ids
      SecurityGroupIds    = pair.audit.security_group_ids
      QueueKeyArn         = pair.audit.queue_key_arn
      TableKeyArn         = pair.audit.table_key_arn
      LedgerKeyArn        = pair.audit.ledger_key_arn
      LogKeyArn           = pair.audit.log_key_arn
    }
  } if pair.audit != null }
}

resource "aws_cloudformation_stack" "audit" {
  # checkov:skip=CKV_AWS_124:The commands read what becomes of a stack, and its alarms go to AlarmTopicArn.
  for_each = local.audit
  provider = aws.source

  name          = each.value.name
  template_body = file("${path.module}/../../replicator/stack/templates/audit.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = each.value.parameters
  tags          = local.tags
}

locals {
  verify = { for given in var.verify[*] : var.migration => {
    name = "replicator-${var.migration}-verify"
    parameters = {
      Migration           = var.migration
      TableArns           = join(",", local.tables)
      StreamArns          = join(",", [for one in local.tables : "${one}/stream/*"])
      SigningKeyArn       = given.signing_key_arn
      FindingsKeyArn      = given.findings_key_arn
      DataKeyArns         = given.data_key_arns
      BundleBucket        = aws_cloudformation_stack.base.outputs["BundleBucket"]
      ProjectKey          = given.project_key
      EveryHours          = tostring(given.every_hours)
      AlarmHours          = tostring(2 * given.every_hours)
      Enabled             = tostring(given.enabled)
      Image               = given.image
      ComputeType         = given.compute_type
      TimeoutMinutes      = tostring(given.timeout_minutes)
      AlarmTopicArn       = given.alarm_topic_arn
      LogRetentionDays    = tostring(given.log_retention_days)
      PermissionsBoundary = given.permissions_boundary
      RolePath            = given.role_path
      RoleName            = given.role_name
      ScheduleRoleName    = given.schedule_role_name
      BucketKeyArn        = given.bucket_key_arn
      LogKeyArn           = given.log_key_arn
    }
  } }
}

resource "aws_cloudformation_stack" "verify" {
  # checkov:skip=CKV_AWS_124:The commands read what becomes of a stack, and its alarms go to AlarmTopicArn.
  for_each = local.verify
  provider = aws.source

  name          = each.value.name
  template_body = file("${path.module}/../../replicator/stack/templates/verify.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = each.value.parameters
  tags          = local.tags
}
