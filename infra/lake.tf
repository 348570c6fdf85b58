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
  count = var.lake_noncurrent_days == null ? 0 : 1

  bucket = aws_s3_bucket.lake.id

  rule {
    id     = "replaced-versions-and-unfinished-uploads"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.lake_noncurrent_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = var.lake_noncurrent_days
    }

    expiration {
      # A deletion's marker goes when nothing is left behind it.
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.lake]
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
