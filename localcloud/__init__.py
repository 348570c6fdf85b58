"""The local cloud: stands in for AWS on a laptop and in CI, and runs Millrace's own Terraform, state machine and
compiled functions on it. `localcloud/cloud --help` tells what it can do."""
