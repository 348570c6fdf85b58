//! What may be asked of the event service, and its answer to what may not.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Which reports are meant. The bounds are inclusive, as those of the real service are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    pub(crate) updated_after: Option<i64>,
    pub(crate) start_time: Option<i64>,
    pub(crate) end_time: Option<i64>,
    pub(crate) min_magnitude: Option<f64>,
    pub(crate) max_magnitude: Option<f64>,
}

/// In which order reports are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Time,
    TimeAsc,
    Magnitude,
    MagnitudeAsc,
}

/// The parameters of `query` and `count`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    pub(crate) format: String,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
    pub(crate) no_data: u16,
}

/// A refusal: its status and its message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

/// The most events that one query may match.
pub(crate) const SERVICE_LIMIT: u64 = 20_000;

const FORMATS: [&str; 8] = [
    "quakeml", "geojson", "csv", "kml", "kmlraw", "xml", "text", "cap",
];
const ORDERS: [&str; 4] = ["time", "time-asc", "magnitude", "magnitude-asc"];

/// What the real service knows beside what this one does.
const KNOWN: [&str; 43] = [
    "minlatitude",
    "minlat",
    "maxlatitude",
    "maxlat",
    "minlongitude",
    "minlon",
    "maxlongitude",
    "maxlon",
    "latitude",
    "lat",
    "longitude",
    "lon",
    "minradius",
    "maxradius",
    "minradiuskm",
    "maxradiuskm",
    "mindepth",
    "maxdepth",
    "magnitudetype",
    "magtype",
    "includeallorigins",
    "includeallmagnitudes",
    "includearrivals",
    "eventid",
    "catalog",
    "contributor",
    "callback",
    "eventtype",
    "reviewstatus",
    "minmmi",
    "maxmmi",
    "mincdi",
    "maxcdi",
    "minfelt",
    "alertlevel",
    "mingap",
    "maxgap",
    "minsig",
    "maxsig",
    "producttype",
    "productcode",
    "includedeleted",
    "includesuperseded",
];

impl Query {
    /// Reads the parameters, in the order in which they stand, and refuses as the real service does. Its default format
    /// is QuakeML, and `/count`'s plain text.
    pub(crate) fn parse(parameters: &[(String, String)]) -> Result<Self, Refusal> {
        let mut query = Self {
            filter: Filter::default(),
            order: Order::default(),
            format: "quakeml".to_owned(),
            limit: None,
            offset: 1,
            no_data: 204,
        };
        for (name, value) in parameters {
            if value.is_empty() {
                continue;
            }
            let filter = &mut query.filter;
            match name.as_str() {
                "starttime" | "start" => filter.start_time = Some(time(name, value)?),
                "endtime" | "end" => filter.end_time = Some(time(name, value)?),
                "updatedafter" => filter.updated_after = Some(time(name, value)?),
                "minmagnitude" | "minmag" => filter.min_magnitude = Some(float(name, value)?),
                "maxmagnitude" | "maxmag" => filter.max_magnitude = Some(float(name, value)?),
                "limit" => query.limit = Some(integer(name, value, 0, Some(SERVICE_LIMIT))?),
                "offset" => query.offset = integer(name, value, 1, None)?,
                "orderby" => {
                    query.order = match one_of(name, value, &ORDERS)? {
                        "time-asc" => Order::TimeAsc,
                        "magnitude" => Order::Magnitude,
                        "magnitude-asc" => Order::MagnitudeAsc,
                        _ => Order::Time,
                    };
                }
                "format" => one_of(name, value, &FORMATS)?.clone_into(&mut query.format),
                "nodata" => {
                    query.no_data = if one_of(name, value, &["204", "404"])? == "404" {
                        404
                    } else {
                        204
                    };
                }
                "jsonerror" => {}
                known if KNOWN.contains(&known) => {
                    return Err(Refusal {
                        status: 501,
                        message: format!("{known} parameter is not supported"),
                    });
                }
                _ => return Err(bad(format!("Unknown parameter \"{name}\"."))),
            }
        }
        Ok(query)
    }
}

fn bad(message: String) -> Refusal {
    Refusal {
        status: 400,
        message,
    }
}

/// The time, cut to the second as the real service does.
fn time(name: &str, value: &str) -> Result<i64, Refusal> {
    let text = value.trim();
    let timestamp = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| {
            let civil = text
                .parse::<DateTime>()
                .or_else(|_| text.parse::<Date>().map(Date::into));
            civil
                .and_then(|civil: DateTime| civil.to_zoned(TimeZone::UTC))
                .map(|zoned| zoned.timestamp())
        })
        .map_err(|_| {
            bad(format!(
                "Bad {name} value \"{value}\". Valid values are ISO-8601 timestamps."
            ))
        })?;
    Ok(timestamp.as_millisecond().div_euclid(1_000) * 1_000)
}

fn integer(name: &str, value: &str, least: u64, most: Option<u64>) -> Result<u64, Refusal> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value
        .parse()
        .ok()
        .filter(|number| digits && *number >= least);
    number
        .filter(|number| most.is_none_or(|most| *number <= most))
        .ok_or_else(|| {
            let most = most.map(|most| format!(" <= {most}")).unwrap_or_default();
            bad(format!(
                "Bad {name} value \"{value}\". Valid values are {least} <= {name}{most}"
            ))
        })
}

fn float(name: &str, value: &str) -> Result<f64, Refusal> {
    let number = value
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| {
        bad(format!(
            "Bad {name} value \"{value}\". Valid values are numeric"
        ))
    })
}

fn one_of<'a>(name: &str, value: &'a str, allowed: &[&str]) -> Result<&'a str, Refusal> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    let allowed = allowed.join("\", \"");
    Err(bad(format!(
        "Bad {name} value \"{value}\". Valid values are: \"{allowed}\"."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Query, Refusal> {
        let pairs: Vec<(String, String)> = text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Query::parse(&pairs)
    }

    #[test]
    fn times_are_read_in_the_forms_that_pullers_write_and_cut_to_the_second() {
        for text in [
            "2018-02-07T01:02:03.987Z",
            "2018-02-07T01:02:03",
            "2018-02-07T01:02:03+00:00",
            "2018-02-06T17:02:03-08:00",
            "2018-02-07 01:02:03",
        ] {
            let query = parse(&format!("updatedafter={text}")).expect(text);
            assert_eq!(
                query.filter.updated_after,
                Some(1_517_965_323_000),
                "{text}"
            );
        }
        let query = parse("starttime=2018-02-07").expect("a day");
        assert_eq!(query.filter.start_time, Some(1_517_961_600_000));
    }

    #[test]
    fn refusals_are_worded_as_the_real_ones() {
        for (text, message) in [
            (
                "limit=abc",
                "Bad limit value \"abc\". Valid values are 0 <= limit <= 20000",
            ),
            (
                "limit=20001",
                "Bad limit value \"20001\". Valid values are 0 <= limit <= 20000",
            ),
            (
                "offset=0",
                "Bad offset value \"0\". Valid values are 1 <= offset",
            ),
            (
                "minmagnitude=big",
                "Bad minmagnitude value \"big\". Valid values are numeric",
            ),
            (
                "updatedafter=soon",
                "Bad updatedafter value \"soon\". Valid values are ISO-8601 timestamps.",
            ),
            (
                "orderby=id",
                "Bad orderby value \"id\". Valid values are: \"time\", \"time-asc\", \"magnitude\", \"magnitude-asc\".",
            ),
            ("colour=red", "Unknown parameter \"colour\"."),
        ] {
            assert_eq!(
                parse(text),
                Err(Refusal {
                    status: 400,
                    message: message.to_owned()
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_only_the_real_service_knows_is_not_called_unknown() {
        let refusal = parse("maxradiuskm=5").expect_err("it is not supported");
        assert_eq!(
            (refusal.status, refusal.message.as_str()),
            (501, "maxradiuskm parameter is not supported")
        );
    }
}
