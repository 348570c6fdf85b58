terraform {
  # `terraform test` with mocked providers, and validations that look at other variables.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Both majors: nothing here needs 6, and nothing here was removed by it.
      version = ">= 5.100"
    }
  }
}

# Region, credentials and endpoints come from the environment, as the AWS tools read it.
provider "aws" {
  s3_use_path_style = var.s3_use_path_style

  default_tags {
    tags = merge({ application = "millrace", deployment = var.name }, var.tags)
  }
}
