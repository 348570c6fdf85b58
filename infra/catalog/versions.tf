# No provider: everything here is a plain value, so that what is generated can be tested without AWS.
terraform {
  required_version = ">= 1.9"
}
