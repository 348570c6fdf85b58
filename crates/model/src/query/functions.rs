//! Which functions a query may call.

/// Functions that may stand where a table does.
const TABLE_FUNCTIONS: [&str; 6] = [
    "generate_series",
    "json_array_elements",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "unnest",
];

/// Whether the function may stand where a table does.
pub(super) fn is_table(name: &str) -> bool {
    TABLE_FUNCTIONS.contains(&name)
}

/// What answers differently from one moment to the next, as it begins in lower case. That a harmless name begins alike
/// only costs an answer its ETag.
pub(super) const UNSTEADY: [&str; 13] = [
    "now(",
    "'now",
    "'today",
    "'yesterday",
    "'tomorrow",
    "current_",
    "localtime",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "random",
    "age(",
];

/// Whether the function makes one value of many rows.
pub(super) fn aggregates(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["regr_", "stddev", "var_", "percentile_"];
    const NAMES: [&str; 30] = [
        "any_value",
        "array_agg",
        "avg",
        "bit_and",
        "bit_or",
        "bit_xor",
        "bool_and",
        "bool_or",
        "corr",
        "count",
        "covar_pop",
        "covar_samp",
        "cume_dist",
        "dense_rank",
        "every",
        "grouping",
        "json_agg",
        "json_arrayagg",
        "json_object_agg",
        "json_objectagg",
        "jsonb_agg",
        "jsonb_object_agg",
        "max",
        "min",
        "mode",
        "rank",
        "string_agg",
        "sum",
        "variance",
        "xmlagg",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || NAMES.contains(&name)
        || name.starts_with("range_") && name.ends_with("agg")
}

/// Functions that read files, settings, catalogues or other servers, or run text as SQL. The reader's role could not use
/// most of them anyway; a definition that asks for them is a mistake, and is told so before it is applied.
pub(super) fn reaches_beyond_tables(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["pg_", "lo_", "dblink", "txid_", "inet_"];
    const NAMES: [&str; 12] = [
        "current_setting",
        "currval",
        "cursor_to_xml",
        "database_to_xml",
        "lastval",
        "nextval",
        "query_to_xml",
        "query_to_xml_and_xmlschema",
        "schema_to_xml",
        "set_config",
        "setval",
        "table_to_xml",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}
