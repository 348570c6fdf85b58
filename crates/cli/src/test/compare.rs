//! In what an answer is not as expected.

use bytes::Bytes;
use http::Response;
use millrace_model::definition::endpoint_tests::Expected;
use serde_json::{Map, Value};

/// In what it is not, a line each.
pub fn differences(expected: &Expected, answer: &Response<Bytes>) -> Vec<String> {
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let problem = &body["error"][0];
    let detail = problem["detail"].as_str().unwrap_or_default();
    if let Expected::Error {
        status: wanted,
        parameter,
        says,
    } = expected
    {
        return refusal(
            status,
            problem,
            (*wanted, parameter.as_deref(), says.as_deref()),
        );
    }
    if status != 200 {
        return vec![format!("it was refused by {status}: {detail}")];
    }
    let none = Vec::new();
    let found = body["data"].as_array().unwrap_or(&none);
    match expected {
        Expected::Rows(wanted) => rows(wanted, found),
        Expected::Count(wanted) if *wanted != found.len() => {
            vec![format!(
                "it has {} rows, and {wanted} were expected",
                found.len()
            )]
        }
        _ => Vec::new(),
    }
}

fn refusal(
    status: u16,
    problem: &Value,
    (wanted, parameter, says): (u16, Option<&str>, Option<&str>),
) -> Vec<String> {
    let detail = problem["detail"].as_str().unwrap_or_default();
    let mut differences = Vec::new();
    if status != wanted {
        let said = if detail.is_empty() {
            String::new()
        } else {
            format!(": {detail}")
        };
        differences.push(format!(
            "its status is {status}, and {wanted} was expected{said}"
        ));
        return differences;
    }
    if parameter.is_some_and(|parameter| problem["parameter"] != parameter) {
        differences.push(format!(
            "it is about the parameter {}, and `{}` was expected",
            problem["parameter"]
                .as_str()
                .map_or("none".to_owned(), |name| format!("`{name}`")),
            parameter.unwrap_or_default()
        ));
    }
    if let Some(says) = says.filter(|says| !detail.contains(says)) {
        differences.push(format!(
            "it says `{detail}`, and `{says}` was expected in it"
        ));
    }
    differences
}

fn rows(wanted: &[Map<String, Value>], found: &[Value]) -> Vec<String> {
    let mut differences = Vec::new();
    for (at, wanted) in wanted.iter().enumerate() {
        let number = at + 1;
        let Some(found) = found.get(at) else {
            differences.push(format!("row {number} is missing: {}", shown(wanted)));
            continue;
        };
        for (column, wanted) in wanted {
            match found.get(column) {
                None => differences.push(format!("row {number} has no column `{column}`")),
                Some(found) if !same(wanted, found) => differences.push(format!(
                    "row {number}: `{column}` is {found}, and {wanted} was expected"
                )),
                Some(_) => {}
            }
        }
    }
    for (at, found) in found.iter().enumerate().skip(wanted.len()) {
        differences.push(format!("row {} was not expected: {found}", at + 1));
    }
    differences
}

fn shown(row: &Map<String, Value>) -> String {
    Value::Object(row.clone()).to_string()
}

/// Whether two values are the same; `5` and `5.0` are.
fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(wanted), Value::Number(found)) => {
            wanted == found || wanted.as_f64() == found.as_f64()
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .zip(found)
                    .all(|(wanted, found)| same(wanted, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .all(|(name, wanted)| found.get(name).is_some_and(|found| same(wanted, found)))
        }
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, body: &Value) -> Response<Bytes> {
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = status.try_into().unwrap();
        response
    }

    fn expected(rows: &Value) -> Expected {
        Expected::Rows(serde_json::from_value(rows.clone()).unwrap())
    }

    #[test]
    fn rows_are_compared_by_the_columns_that_are_named() {
        let body =
            json!({ "data": [{ "id": "a", "m": 5.0 }, { "id": "b", "m": null }], "error": [] });
        let found = answer(200, &body);
        let told = |rows: Value| differences(&expected(&rows), &found);
        assert_eq!(
            told(json!([{ "id": "a", "m": 5 }, { "id": "b", "m": null }])),
            [""; 0]
        );
        assert_eq!(told(json!([{ "id": "a" }, {}])), [""; 0]);
        assert_eq!(
            told(json!([{ "id": "b", "m": 6 }])),
            [
                "row 1: `id` is \"a\", and \"b\" was expected",
                "row 1: `m` is 5.0, and 6 was expected",
                "row 2 was not expected: {\"id\":\"b\",\"m\":null}",
            ]
        );
        assert_eq!(
            told(json!([{ "x": 1 }, {}, { "id": "c" }])),
            [
                "row 1 has no column `x`",
                "row 3 is missing: {\"id\":\"c\"}"
            ]
        );
        assert_eq!(
            differences(&Expected::Count(3), &found),
            ["it has 2 rows, and 3 were expected"]
        );
    }

    #[test]
    fn refusals_are_compared_by_what_is_told_of_them() {
        let error = json!({ "detail": "`m` must be a number", "parameter": "m" });
        let refused = answer(400, &json!({ "data": [], "error": [error] }));
        let wanted = |status, parameter: Option<&str>, says: Option<&str>| Expected::Error {
            status,
            parameter: parameter.map(str::to_owned),
            says: says.map(str::to_owned),
        };
        let told = |expected: Expected| differences(&expected, &refused);
        assert_eq!(told(wanted(400, Some("m"), Some("a number"))), [""; 0]);
        assert_eq!(
            told(wanted(403, None, None)),
            ["its status is 400, and 403 was expected: `m` must be a number"]
        );
        assert_eq!(told(wanted(400, Some("x"), Some("text"))).len(), 2);
        assert_eq!(
            told(expected(&json!([]))),
            ["it was refused by 400: `m` must be a number"]
        );
        let body = json!({ "data": [] });
        assert_eq!(
            differences(&wanted(400, None, None), &answer(200, &body)),
            ["its status is 200, and 400 was expected"]
        );
    }
}
