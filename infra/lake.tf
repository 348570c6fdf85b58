resource "aws_s3_bucket" "lake" {
  bucket        = local.lake_bucket
  force_destroy = var.lake_force_destroy
}

# The lake is the one copy of what sources said at a time; a version that was replaced or deleted by mistake can be had
# back for `lake_noncurrent_days`.
resource "aws_s3_bucket_versioning" "lake" {
  bucket = aws_s3_bucket.lake.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "lake" {
  bucket = aws_s3_bucket.lake.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "lake" {
  bucket = aws_s3_bucket.lake.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "lake" {
  count = var.lake_tls_only ? 1 : 0

  bucket = aws_s3_bucket.lake.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.lake_arn, "${local.lake_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })

  # S3 refuses two changes of a bucket's access at once.
  depends_on = [aws_s3_bucket_public_access_block.lake]
}

resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  count = var.lake_noncurrent_days == null && !local.has_exports ? 0 : 1

  bucket = aws_s3_bucket.lake.id

  dynamic "rule" {
    for_each = var.lake_noncurrent_days[*]

    content {
      id     = "replaced-versions-and-unfinished-uploads"
      status = "Enabled"

      filter {}

      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }

      abort_incomplete_multipart_upload {
        days_after_initiation = rule.value
      }

      expiration {
        # A deletion's marker goes when nothing is left behind it.
        expired_object_delete_marker = true
      }
    }
  }

  dynamic "rule" {
    for_each = local.has_exports ? ["exports"] : []

    content {
      id     = rule.value
      status = "Enabled"

      filter {
        prefix = "exports/"
      }

      # Who asked for files has a day to fetch them.
      expiration {
        days = 1
      }

      noncurrent_version_expiration {
        noncurrent_days = 1
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.lake]
}

# Who wants something of a function that reads a datasource leaves a notice in the lake, and the function is told of it: a
# whole answer as files, or what its routes answer, for the contract.
locals {
  notices = concat(
    [for function, datasource in module.catalog.exports : { function = function, prefix = "exports/", suffix = "/${datasource}.todo" }],
    [for function, datasource in module.catalog.noting : { function = function, prefix = "contract/", suffix = "${datasource}.todo" }],
  )
}

resource "aws_s3_bucket_notification" "lake" {
  count = length(local.notices) > 0 ? 1 : 0

  bucket = aws_s3_bucket.lake.id

  dynamic "lambda_function" {
    for_each = local.notices

    content {
      lambda_function_arn = aws_lambda_function.this[lambda_function.value.function].arn
      events              = ["s3:ObjectCreated:*"]
      filter_prefix       = lambda_function.value.prefix
      filter_suffix       = lambda_function.value.suffix
    }
  }

  depends_on = [aws_lambda_permission.notices]
}

resource "aws_lambda_permission" "notices" {
  for_each = toset(local.notices[*].function)

  statement_id   = "notices"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this[each.key].function_name
  principal      = "s3.amazonaws.com"
  source_arn     = local.lake_arn
  source_account = local.account
}

# The definitions as they are written. A change reaches the endpoints within half a minute and the pipelines with their
# next run; runs under way keep the definition that they were started with.
resource "aws_s3_object" "definition" {
  for_each = module.catalog.definitions

  bucket       = aws_s3_bucket.lake.id
  key          = each.key
  content      = file(each.value)
  content_type = "application/yaml"
  # Makes a change in the bucket a difference, as well as one here.
  etag = filemd5(each.value)

  depends_on = [aws_s3_bucket_versioning.lake]
}
