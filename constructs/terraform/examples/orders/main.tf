# One pair between two accounts. The two rounds of docs/deploy-with-terraform.md are two states of this file: first
# the migration and the pair's tables, then the rest.
terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  alias  = "source"
  region = "eu-west-1"
}

provider "aws" {
  alias  = "target"
  region = "eu-central-1"

  assume_role {
    role_arn = "arn:aws:iam::444455556666:role/deployer"
  }
}

module "orders_2026" {
  source    = "../.."
  providers = { aws.source = aws.source, aws.target = aws.target }

  migration  = "orders-2026"
  tags       = { team = "shop" }
  bundle_key = "code/5e6f.zip"

  pairs = {
    orders-a9911116 = {
      source_table_arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders"
      source_keys      = [{ name = "id", type = "S" }, { name = "at", type = "N" }]
      target_table_arn = "arn:aws:dynamodb:eu-central-1:444455556666:table/orders-v2"
      target_keys      = [{ name = "id", type = "S" }, { name = "at", type = "N" }]
      stream_arn       = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-11-01T00:00:00.000"

      capture = {
        stream_view_type     = "NEW_AND_OLD_IMAGES"
        permissions_boundary = "arn:aws:iam::111122223333:policy/boundary"
        log_retention_days   = 90
      }
      ledger = {
        permissions_boundary = "arn:aws:iam::444455556666:policy/boundary"
      }
      apply = {
        boundary             = 1793491200
        permissions_boundary = "arn:aws:iam::111122223333:policy/boundary"
        log_retention_days   = 90
      }
    }
  }
}
