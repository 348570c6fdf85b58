//! Erasure from raw payloads, from what was kept out of tables, and from requests that failed.

use super::words::{names, without, without_in_texts};
use super::{ForgottenKey, Search, count, list};
use bytes::Bytes;
use millrace_model::definition::pipeline::{CursorValue, Resource};
use millrace_model::raw::{Manifest, Page, Position};
use millrace_model::step::Counts;
use millrace_model::{Failure, FailureName, keys};
use millrace_records::json::records;
use millrace_records::{Malformed, Rules};
use millrace_store::json;
use millrace_store::objects::Objects;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::ops::Range;

/// Writes the segments anew that hold a record of the key, and removes those that no manifest names.
pub(super) async fn forget(
    objects: &dyn Objects,
    pipeline: &str,
    resource: &Resource,
    search: &Search,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let all = list(objects, &keys::raw_resource(pipeline, &resource.name)).await?;
    let mut named = HashSet::new();
    for key in all.iter().filter(|key| key.contains("/manifest/")) {
        let Some(manifest) = json::get::<Manifest>(objects, key).await? else {
            continue;
        };
        let (mut cleaned, segment) =
            rewritten(objects, &manifest, resource, search, counts).await?;
        if let (Some(object), Some(segment)) = (&manifest.object, segment) {
            // Another name, so that whoever reads the old manifest does not meet other bytes; the manifest commits it.
            let name = successor(object, &segment);
            objects.put(&name, segment).await?;
            cleaned.object = Some(name);
        }
        if cleaned != manifest {
            json::put(objects, key, &cleaned).await?;
        }
        if let Some(object) = &manifest.object
            && manifest.object != cleaned.object
        {
            objects.delete(object).await?;
        }
        named.extend(cleaned.object);
    }
    for key in all.iter().filter(|key| key.contains("/segment/")) {
        if !named.contains(key) {
            objects.delete(key).await?;
            count(counts, "objects_removed", 1);
        }
    }
    Ok(())
}

/// What the segment is called that takes the place of one.
fn successor(object: &str, segment: &[u8]) -> String {
    let stem = object.trim_end_matches(".zst");
    let stem = stem.split("-forgotten-").next().unwrap_or(stem);
    let digest = hex::encode(Sha256::digest(segment));
    format!("{stem}-forgotten-{}.zst", &digest[..16])
}

/// The manifest without the key, and the segment without its records; none where that has none.
async fn rewritten(
    objects: &dyn Objects,
    manifest: &Manifest,
    resource: &Resource,
    search: &Search,
    counts: &mut Counts,
) -> Result<(Manifest, Option<Bytes>), Failure> {
    let mut cleaned = manifest.clone();
    cleaned.next = position(&manifest.next, search);
    let of_all = cleaned.cursor.iter_mut().chain(&mut cleaned.start);
    let of_each = cleaned
        .cursors
        .values_mut()
        .chain(cleaned.starts.values_mut());
    for at in of_all.chain(of_each) {
        *at = before(at, search);
    }
    for page in &mut cleaned.pages {
        page.url = without(&page.url, search.values());
    }
    let Some(object) = &manifest.object else {
        return Ok((cleaned, None));
    };
    let Some(bytes) = objects.get(object).await? else {
        return Ok((cleaned, None));
    };
    let (rules, path): (_, Vec<&str>) =
        (Rules::of(resource), resource.records.segments().collect());
    let (mut segment, mut changed) = (Vec::new(), false);
    for page in &mut cleaned.pages {
        let frame = &bytes.bytes[page.offset as usize..(page.offset + page.length) as usize];
        let unreadable = |what: &str| {
            let message = format!(
                "the answer to {} in `{object}` cannot be searched: {what}",
                page.url
            );
            Failure::new(FailureName::BadData, message)
        };
        let body = clean(page, frame, &rules, &path, search).map_err(|what| unreadable(&what))?;
        page.offset = segment.len() as u64;
        let Some((body, gone)) = body else {
            segment.extend_from_slice(frame);
            continue;
        };
        changed = true;
        count(counts, "records", gone);
        count(counts, "pages", 1);
        let frame =
            zstd::bulk::compress(&body, 1).map_err(|error| unreadable(&error.to_string()))?;
        page.length = frame.len() as u64;
        page.body_length = body.len() as u64;
        page.sha256 = hex::encode(Sha256::digest(&body));
        // Of whatever form it was, what is left of it is JSON.
        page.rewritten = true;
        page.records = page.records.saturating_sub(gone);
        if page.records == 0 {
            page.origin.carried = None;
        }
        segment.extend(frame);
    }
    Ok((cleaned, changed.then(|| segment.into())))
}

/// Where a pull goes on, without the key: a run that ended does not go on.
fn position(next: &Position, search: &Search) -> Position {
    match next {
        Position::Cursor { cursor } => Position::Cursor {
            cursor: without(cursor, search.values()),
        },
        Position::Url { url } => Position::Url {
            url: without(url, search.values()),
        },
        Position::Slice {
            slice,
            report,
            inner,
        } => Position::Slice {
            slice: *slice,
            report: report.clone(),
            inner: Box::new(position(inner, search)),
        },
        other => other.clone(),
    }
}

/// A cursor that is the key, moved to what comes before it: the next run asks for a little more.
pub(super) fn before(cursor: &CursorValue, search: &Search) -> CursorValue {
    let is_key = |text: &str| search.values().any(|value| value == text);
    match cursor {
        CursorValue::Text(text) if is_key(text) => {
            let mut letters = text.chars();
            letters.next_back();
            CursorValue::Text(letters.as_str().to_owned())
        }
        CursorValue::Number(number) if is_key(&number.to_string()) => {
            CursorValue::Number(number.saturating_sub(1))
        }
        other => other.clone(),
    }
}

/// A page without the records of the key, and how many those were; none where it has none.
fn clean(
    page: &Page,
    frame: &[u8],
    rules: &Rules,
    path: &[&str],
    search: &Search,
) -> Result<Option<(Vec<u8>, u64)>, String> {
    if frame.is_empty() {
        return Ok(None);
    }
    let body = zstd::bulk::decompress(frame, page.body_length as usize)
        .map_err(|error| format!("its frame cannot be decompressed: {error}"))?;
    let body = if page.origin.is_aside {
        body
    } else {
        rules.as_json(body.clone(), page).unwrap_or(body)
    };
    let (body, spans) = match String::from_utf8(body) {
        // What was asked beside the records has none.
        Ok(body) if page.origin.is_aside => (body, Ok(Vec::new())),
        Ok(body) => {
            let spans = records(&body, path);
            (body, spans)
        }
        Err(error) => {
            let body = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (body, Err(Malformed::new(0, "it is not UTF-8")))
        }
    };
    let Ok(spans) = spans else {
        // What cannot be read as records is kept as it is, or not at all.
        let goes = search.values().any(|value| names(&body, value));
        return Ok(goes.then(|| (Vec::new(), 0)));
    };
    let found = |span: &Range<usize>| {
        let text = &body[span.clone()];
        // What is no JSON, or nested too deep to be looked into, goes if it names the key.
        let named = || search.values().any(|value| names(text, value));
        serde_json::from_str(text).map_or_else(
            |_| named(),
            |mut record: Value| {
                if let (Some(carried), Some(own)) = (&page.origin.carried, record.as_object_mut()) {
                    for (name, value) in carried {
                        own.entry(name.clone()).or_insert_with(|| value.clone());
                    }
                }
                search.finds(&record)
            },
        )
    };
    let gone: HashSet<usize> = (0..spans.len())
        .filter(|index| found(&spans[*index]))
        .collect();
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
        let around = without_in_texts(&body, search.values());
        return Ok((around != body).then(|| (around.into_bytes(), 0)));
    };
    // A body that is the one record itself leaves nothing, and an empty body has no records.
    if !gone.is_empty() && !body[..first.start].trim_end().ends_with('[') {
        return Ok(Some((Vec::new(), gone.len() as u64)));
    }
    let kept: Vec<&str> = spans
        .iter()
        .enumerate()
        .filter(|(index, _)| !gone.contains(index))
        .map(|(_, span)| &body[span.clone()])
        .collect();
    let head = without_in_texts(&body[..first.start], search.values());
    let tail = without_in_texts(&body[last.end..], search.values());
    if gone.is_empty() && head == body[..first.start] && tail == body[last.end..] {
        return Ok(None);
    }
    let cleaned = format!("{head}{}{tail}", kept.join(","));
    Ok(Some((cleaned.into_bytes(), gone.len() as u64)))
}

/// Takes the lines out of a table's quarantine that hold a record of the key.
pub(super) async fn forget_quarantine(
    objects: &dyn Objects,
    pipeline: &str,
    table: &str,
    search: &Search,
    counts: &mut Counts,
) -> Result<(), Failure> {
    for key in list(objects, &keys::quarantines(pipeline, table)).await? {
        let Some(object) = objects.get(&key).await? else {
            continue;
        };
        let text = String::from_utf8_lossy(&object.bytes).into_owned();
        let found = |line: &&str| {
            let named = |text: &str| search.values().any(|value| names(text, value));
            match serde_json::from_str::<Value>(line) {
                Ok(kept) if kept["record"].is_object() => search.finds(&kept["record"]),
                Ok(kept) => [&kept["text"], &kept["url"]]
                    .into_iter()
                    .filter_map(Value::as_str)
                    .any(named),
                Err(_) => named(line),
            }
        };
        let gone = text.lines().filter(found).count();
        if gone == 0 {
            continue;
        }
        count(counts, "quarantined", gone as u64);
        let kept: Vec<&str> = text.lines().filter(|line| !found(line)).collect();
        if kept.is_empty() {
            objects.delete(&key).await?;
        } else {
            let lines = kept.join("\n") + "\n";
            objects.put(&key, lines.into()).await?;
        }
    }
    Ok(())
}

/// Removes the requests that failed and name a value of the key.
pub(super) async fn forget_dead(
    objects: &dyn Objects,
    pipeline: &str,
    key: &ForgottenKey,
    counts: &mut Counts,
) -> Result<(), Failure> {
    for at in list(objects, &keys::all_dead(pipeline)).await? {
        let Some(object) = objects.get(&at).await? else {
            continue;
        };
        let text = String::from_utf8_lossy(&object.bytes);
        if key.values().any(|value| names(&text, value)) {
            objects.delete(&at).await?;
            count(counts, "dead", 1);
        }
    }
    Ok(())
}
