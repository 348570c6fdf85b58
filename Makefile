# Every target's line behind `##` is its help. What a target needs it sets up itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

SOURCE ?= sample
ARCH ?= arm64
FUNCTIONS := trigger ingest transform refine publish serve serve-lake serve-redis

.PHONY: help run test check soak bench-ingest bench-transform bench-serve cloud stop build invoke deploy fmt schemas clean

help: ## this list
	@echo "Millrace: REST APIs → Delta tables → an API of your own. Begin with: make run"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: SOURCE=sample|live (run), ARCH=arm64|x86_64 (build), FUNCTION=… EVENT=… (invoke), BENCH=… (a bench's arguments)"

run: ## the main job in one process: pull earthquakes, make tables, publish, serve (SOURCE=live: from the real USGS)
	@scripts/need cargo
	@scripts/cargo-build
	@MILLRACE_POSTGRES_BIN="$$(scripts/postgres-binaries)" target/debug/millrace demo --source $(SOURCE)

test: ## all tests, the local cloud's included
	@scripts/test short

soak: ## the long form of the kill, fault and scale runs
	@scripts/test long

bench-transform: ## raw payloads → Delta tables, beside dlt, DuckDB, Polars and delta-rs's MERGE; takes minutes
	@scripts/need cargo python3
	@cargo build --config bench/optimised.toml --workspace --quiet --example pages_to_table
	@python="$$(scripts/python-env bench/transform)" && "$$python" bench/transform/measure.py $(BENCH)

bench-ingest: ## pages of nginx → raw storage in S3, beside a bare download, dlt and airbyte-cdk; takes minutes
	@scripts/need cargo python3
	@cargo build --config bench/optimised.toml --workspace --quiet --bin bench-ingest
	@nginx="$$(scripts/nginx-binary)" && emulator="$$(scripts/python-env)" && python="$$(scripts/python-env bench/ingest)" && \
	  "$$python" bench/ingest/measure.py --nginx "$$nginx" --emulator "$$emulator" $(BENCH)

check: ## formats, lints, licences, schemas, Terraform: what a change must pass before it is merged
	@scripts/check

bench-serve: ## lookups by key: serve against pgbench, ROAPI and Datasette, on this machine (a release build first: minutes)
	@scripts/bench-serve

cloud: ## the whole of it on a local cloud: terraform apply, a scheduled run, the API
	@scripts/need cargo terraform python3
	@scripts/cargo-build
	@scripts/cloud up

stop: ## ends and removes what `make run` and `make cloud` started
	@scripts/stop

build: ## the deployable zips (ARCH=arm64|x86_64) and the task's image context
	@scripts/need cargo python3
	@ARCH=$(ARCH) scripts/build $(FUNCTIONS)

invoke: ## sends an event to a function of the local cloud: make invoke FUNCTION=serve EVENT=events/serve/quakes.json
	@scripts/cloud invoke "$(FUNCTION)" "$(EVENT)"

deploy: build ## terraform apply of infra/ to the AWS account of the environment
	@terraform -chdir=infra init -input=false
	@terraform -chdir=infra apply -var architecture=$(ARCH)

fmt: ## formats Rust and Terraform
	@cargo fmt --all
	@terraform fmt -recursive infra

schemas: ## writes schemas/ anew from the Rust types
	@UPDATE_SCHEMAS=1 cargo test --workspace --quiet --lib schema::

clean: stop ## removes what was built and kept on this machine
	@rm -rf .millrace target
