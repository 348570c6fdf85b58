//! Wire pipeline → pipeline.

use super::{
    answer, format, incremental, model, paginate, personal_data, publish, request, schedule, table,
    value,
};
use crate::definition::FieldPath;
use crate::definition::pipeline::{
    Concurrency, CursorValue, Model, OnRefusal, Paginate, Pipeline, Publish, Resource, Slices,
    Table, WriteMode,
};
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::definition::rows::Rows;
use crate::definition::wire::pipeline::{PipelineFile, ResourceForm};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn validate(
    wire: PipelineFile,
    stem: &str,
    review: &mut Review<'_, '_>,
) -> Option<Pipeline> {
    let root = Path::default();
    review.accept(
        &root.field("pipeline"),
        value::definition_name(&wire.pipeline, stem),
    );
    let schedule = match wire.schedule {
        None => Some(None),
        Some(form) => schedule::validate(form, &root.field("schedule"), review).map(Some),
    };

    let config = wire.config;
    for name in config.keys() {
        let at = root.field("config").field(name);
        review.accept(&at, value::identifier(name));
    }
    let at = root.field("resources");
    review.require(!wire.resources.is_empty(), &at, || {
        "a pipeline pulls at least one resource".to_owned()
    });
    unique(
        wire.resources.iter().map(|form| form.name.as_str()),
        &at,
        "name",
        review,
    );
    let resource_names: Vec<String> = wire
        .resources
        .iter()
        .map(|form| form.name.clone())
        .collect();
    let expected = wire.resources.len();
    let resources: Vec<Resource> = wire
        .resources
        .into_iter()
        .enumerate()
        .filter_map(|(index, form)| {
            resource(
                form,
                &resource_names[..index],
                &config,
                &at.index(index),
                review,
            )
        })
        .collect();
    let resources_are_sound = resources.len() == expected;

    let at = root.field("tables");
    unique(
        wire.tables.iter().map(|form| form.name.as_str()),
        &at,
        "name",
        review,
    );
    let table_names: Vec<String> = wire.tables.iter().map(|form| form.name.clone()).collect();
    let mut tables = Vec::new();
    for (index, form) in wire.tables.into_iter().enumerate() {
        let at = at.index(index);
        known(
            &form.from,
            &resource_names,
            "resource",
            &at.field("from"),
            review,
        );
        let source = resources.iter().find(|resource| resource.name == form.from);
        let table = table::validate(form, source, &tables, &at, review);
        if let Some(source) = source {
            check_append(wire.concurrency, &table, source, &at, review);
        }
        tables.push(table);
    }

    let at = root.field("models");
    unique(
        wire.models.iter().map(|form| form.name.as_str()),
        &at,
        "name",
        review,
    );
    let mut made_names = table_names;
    made_names.extend(wire.models.iter().map(|form| form.name.clone()));
    let models: Vec<Model> = wire
        .models
        .into_iter()
        .enumerate()
        .map(|(index, form)| {
            model::validate(form, wire.concurrency, &tables, &at.index(index), review)
        })
        .collect();

    let at = root.field("publish");
    let mut taken = BTreeSet::new();
    for (index, form) in wire.publish.iter().enumerate() {
        let target = &form.target;
        review.require(
            taken.insert((&form.to, target)),
            &at.index(index).field("as"),
            || format!("`{target}` is there twice; give one of them another name"),
        );
    }
    let publish: Vec<Publish> = wire
        .publish
        .into_iter()
        .enumerate()
        .filter_map(|(index, form)| {
            let rows = |name: &str| Rows::of(&tables, &models, name);
            publish::validate(form, &made_names, rows, &at.index(index), review)
        })
        .collect();

    resources_are_sound.then_some(())?;
    Some(Pipeline {
        name: wire.pipeline,
        description: wire.description,
        schedule: schedule?,
        concurrency: wire.concurrency,
        config,
        resources,
        tables,
        models,
        publish,
    })
}

/// Two runs at once start from the same cursor, pull the same records, and would both append them.
fn check_append(
    concurrency: Concurrency,
    table: &Table,
    source: &Resource,
    at: &Path,
    review: &mut Review<'_, '_>,
) {
    let twice = concurrency == Concurrency::Allow
        && table.write == WriteMode::Append
        && source.incremental.is_some();
    review.require(!twice, &at.field("write"), || {
        "`append` of an incremental resource does not go with `concurrency: allow`: two runs at once pull the same \
         records and would write them twice; write `upsert`, or `concurrency: forbid` or `queue`"
            .to_owned()
    });
}

/// Reports names that are there twice.
fn unique<'n>(
    names: impl Iterator<Item = &'n str>,
    at: &Path,
    field: &str,
    review: &mut Review<'_, '_>,
) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        review.require(seen.insert(name), &at.index(index).field(field), || {
            format!("`{name}` is there twice; give one of them another name")
        });
    }
}

/// Reports a name that nothing has, with the nearest one that something has.
pub(super) fn known(
    name: &str,
    names: &[String],
    kind: &str,
    at: &Path,
    review: &mut Review<'_, '_>,
) {
    review.require(names.iter().any(|known| known == name), at, || {
        let names = || names.iter().map(String::as_str);
        match nearest(name, names()) {
            Some(meant) => format!("there is no {kind} `{name}`; did you mean `{meant}`?"),
            None if names().next().is_none() => {
                format!("there is no {kind} `{name}`; this pipeline has none")
            }
            None => format!(
                "there is no {kind} `{name}`; this pipeline has {}",
                one_of(names())
            ),
        }
    });
}

fn resource(
    form: ResourceForm,
    earlier: &[String],
    config: &BTreeMap<String, serde_json::Value>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Resource> {
    review.accept(&at.field("name"), value::part_name(&form.name));
    review.accept(&at.field("path"), value::resource_path(&form.path));
    for name in form.params.keys() {
        review.accept(&at.field("params").field(name), value::plain_param(name));
    }
    for (name, text) in &form.headers {
        review.accept(
            &at.field("headers").field(name),
            value::header(name, &text.0),
        );
    }
    let paginate = paginate::validate(form.paginate, &at.field("paginate"), review);
    let records = match form.records.as_str() {
        "" | "." => Some(FieldPath::default()),
        text => review.accept(&at.field("records"), value::records_path(text)),
    };
    let format = format::validate(form.format, &at.field("format"), review);
    let incremental = match form.incremental {
        None => Some(None),
        Some(form) => incremental::validate(form, &at.field("incremental"), review).map(Some),
    };
    let personal_data = match &form.personal_data {
        None => Some(None),
        Some(form) => personal_data::validate(form, &at.field("personal_data"), review).map(Some),
    };
    let mut key = Vec::new();
    for (index, text) in form.key.iter().enumerate() {
        let at = at.field("key").index(index);
        let field = review.accept(&at, value::field_path(text))?;
        review.require(!key.contains(&field), &at, || {
            format!("`{text}` is there twice")
        });
        key.push(field);
    }
    let incremental = incremental?;
    if let Some(parent) = &form.parent {
        known(
            parent,
            earlier,
            "resource before this one",
            &at.field("parent"),
            review,
        );
    }
    let windows = match &form.windows {
        None => None,
        Some(form) => {
            let start = incremental
                .as_ref()
                .and_then(|incremental| match incremental.start {
                    CursorValue::Timestamp(millis) => Some(millis),
                    _ => None,
                });
            Some(request::windows(form, start, &at.field("windows"), review)?)
        }
    };
    let slices = Slices {
        parent: form.parent,
        partitions: request::partitions(form.partitions, &at.field("partitions"), review),
        windows,
        carry: form.carry,
    };
    let skips_whole = form.on_refusal == OnRefusal::Skip && slices.is_whole();
    review.require(!skips_whole, &at.field("on_refusal"), || {
        "there is nothing to go on with where a resource is in one piece: `skip` goes with `parent`, `partitions` or \
         `windows`"
            .to_owned()
    });
    let scope = request::Scope::new(
        &slices,
        incremental.is_some(),
        form.report.is_some(),
        config,
    );
    for (name, expression) in &slices.carry {
        let at = at.field("carry").field(name);
        review.accept(&at, value::identifier(name));
        scope.expression(expression, &at, review);
    }
    let report = match form.report {
        None => None,
        Some(form) => Some(request::report(form, &scope, &at.field("report"), review)?),
    };
    let request_form = request::request(
        form.method,
        form.url,
        form.body,
        &form.path,
        &scope,
        at,
        review,
    );
    let filter = answer::filter(form.filter, &at.field("filter"), review);
    let body = request_form.body.as_ref();
    let answers = answer::rules(form.answers, body, &at.field("answers"), review);
    let params = request::texts(form.params, &scope, &at.field("params"), review);
    let headers = request::texts(form.headers, &scope, &at.field("headers"), review);
    let resource = Resource {
        name: form.name,
        connection: form.connection,
        rate_scope: form.rate_scope,
        path: form.path,
        params,
        headers,
        request: request_form,
        slices,
        on_refusal: form.on_refusal,
        report,
        paginate: paginate?,
        format: format?,
        records: records?,
        filter,
        answers,
        incremental,
        personal_data: personal_data?,
        key,
    };
    check_params(&resource, at, review);
    check_delta(&resource, at, review);
    format::check_use(&resource, at, review);
    personal_data::check_use(&resource, at, review);
    Some(resource)
}

/// Reports what cannot begin at a link that the source has given for all of it.
fn check_delta(resource: &Resource, at: &Path, review: &mut Review<'_, '_>) {
    let is_whole = resource.slices.is_whole() && resource.report.is_none();
    let is_alone = is_whole && resource.incremental.is_none();
    let is_sound = is_alone || resource.paginate != Paginate::OdataDelta;
    review.require(is_sound, &at.field("paginate"), || {
        "`odata_delta` asks for what changed by itself; it goes with no `incremental`, `parent`, `partitions`, \
         `windows` or `report`"
            .to_owned()
    });
}

/// Reports parameters that two parts of a resource would set.
fn check_params(resource: &Resource, at: &Path, review: &mut Review<'_, '_>) {
    let mut set = resource.paginate.params();
    set.extend(
        resource
            .incremental
            .iter()
            .filter_map(|incremental| incremental.param.as_deref()),
    );
    for (index, name) in set.iter().enumerate() {
        review.require(
            !resource.params.contains_key(*name),
            &at.field("params").field(name),
            || format!("`{name}` is set by `paginate` or `incremental` already; leave it out here"),
        );
        review.require(!set[..index].contains(name), at, || {
            format!("`paginate` and `incremental` both set the parameter `{name}`; a request can say only one thing by it")
        });
    }
}
