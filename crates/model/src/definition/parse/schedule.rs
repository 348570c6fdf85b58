//! Schedules, held to what EventBridge Scheduler accepts, so that `terraform apply` is not the first to say no.

use crate::definition::pipeline::Schedule;
use crate::definition::problem::{Path, Review};
use crate::definition::wire::form::TextOr;
use crate::definition::wire::pipeline::{Expression, ScheduleForm};

pub(super) fn validate(
    form: TextOr<Expression, ScheduleForm>,
    path: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Schedule> {
    let (expression, timezone, at) = match form {
        TextOr::Text(expression) => (expression.0, None, path.clone()),
        TextOr::Full(form) => (form.expression.0, form.timezone, path.field("expression")),
    };
    let sound = review.accept(&at, check(&expression));
    let timezone = timezone.unwrap_or_else(|| "UTC".to_owned());
    let known = review.accept(&path.field("timezone"), zone(&timezone));
    sound.and(known).map(|()| Schedule {
        expression,
        timezone,
    })
}

fn check(expression: &str) -> Result<(), String> {
    let inner = |name: &str| {
        expression
            .strip_prefix(name)?
            .strip_prefix('(')?
            .strip_suffix(')')
    };
    if let Some(rate) = inner("rate") {
        check_rate(rate)
    } else if let Some(cron) = inner("cron") {
        check_cron(cron)
    } else if let Some(at) = inner("at") {
        check_at(at)
    } else {
        Err(
            "a schedule is `rate(1 hour)`, `cron(0 6 * * ? *)` or `at(2026-12-01T06:00:00)`"
                .to_owned(),
        )
    }
}

fn check_rate(rate: &str) -> Result<(), String> {
    let malformed = || {
        "a rate is a number and its unit: `rate(5 minutes)`, `rate(1 hour)`, `rate(7 days)`"
            .to_owned()
    };
    let (number, unit) = rate.split_once(' ').ok_or_else(malformed)?;
    let number: u32 = number.parse().map_err(|_| malformed())?;
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    if number == 0 || !matches!(singular, "minute" | "hour" | "day") {
        return Err(malformed());
    }
    match (number, unit == singular) {
        (1, true) | (2.., false) => Ok(()),
        (1, false) => Err(format!("one {singular} is singular: `rate(1 {singular})`")),
        _ => Err(format!("{number} are plural: `rate({number} {singular}s)`")),
    }
}

fn check_at(at: &str) -> Result<(), String> {
    let shaped = at.len() == "2026-12-01T06:00:00".len() && at.as_bytes().get(10) == Some(&b'T');
    match at.parse::<jiff::civil::DateTime>() {
        Ok(_) if shaped => Ok(()),
        _ => Err("a single time is written without a zone: `at(2026-12-01T06:00:00)`".to_owned()),
    }
}

/// A field of a cron expression.
struct CronField {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names that stand for numbers, from `least` on.
    names: &'static [&'static str],
    /// Signs of this field alone.
    signs: &'static str,
}

const CRON: [CronField; 6] = [
    CronField {
        name: "minutes",
        least: 0,
        most: 59,
        names: &[],
        signs: "",
    },
    CronField {
        name: "hours",
        least: 0,
        most: 23,
        names: &[],
        signs: "",
    },
    CronField {
        name: "day of month",
        least: 1,
        most: 31,
        names: &[],
        signs: "?LW",
    },
    CronField {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        signs: "",
    },
    CronField {
        name: "day of week",
        least: 1,
        most: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        signs: "?L#",
    },
    CronField {
        name: "year",
        least: 1970,
        most: 2199,
        names: &[],
        signs: "",
    },
];

fn check_cron(cron: &str) -> Result<(), String> {
    let written: Vec<&str> = cron.split_ascii_whitespace().collect();
    if written.len() != CRON.len() {
        return Err(format!(
            "a cron expression here has 6 fields (minutes, hours, day of month, month, day of week, year), this one has \
             {}: `cron(0 6 * * ? *)`",
            written.len()
        ));
    }
    for (field, text) in CRON.iter().zip(&written) {
        if !field.accepts(text) {
            return Err(format!(
                "`{text}` is not allowed as {} of a cron expression",
                field.name
            ));
        }
    }
    match (written[2], written[4]) {
        ("?", "?") => {
            Err("day of month and day of week are both `?`; write `*` for one of them".to_owned())
        }
        ("?", _) | (_, "?") => Ok(()),
        _ => Err("one of day of month and day of week is `?`: `cron(0 6 * * ? *)`".to_owned()),
    }
}

impl CronField {
    fn accepts(&self, text: &str) -> bool {
        match text {
            "?" => self.signs.contains('?'),
            "L" | "LW" if self.name == "day of month" => true,
            _ => text.split(',').all(|item| self.accepts_item(item)),
        }
    }

    fn accepts_item(&self, item: &str) -> bool {
        if let Some((day, nth)) = item.split_once('#') {
            return self.signs.contains('#')
                && self.number(day).is_some()
                && matches!(nth, "1" | "2" | "3" | "4" | "5");
        }
        if let Some(day) = item.strip_suffix('W') {
            return self.signs.contains('W') && self.number(day).is_some();
        }
        if let Some(day) = item.strip_suffix('L')
            && self.signs.contains('#')
        {
            return day.is_empty() || self.number(day).is_some();
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let stepped = step.is_none_or(|step| {
            step.parse::<u32>()
                .is_ok_and(|step| step > 0 && step <= self.most)
        });
        let ranged = range == "*"
            || match range.split_once('-') {
                None => self.number(range).is_some(),
                Some((from, to)) => match (self.number(from), self.number(to)) {
                    (Some(from), Some(to)) => from <= to,
                    _ => false,
                },
            };
        stepped && ranged
    }

    fn number(&self, text: &str) -> Option<u32> {
        if let Some(position) = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
        {
            return Some(self.least + position as u32);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| digits && (self.least..=self.most).contains(number))
    }
}

/// Whether the time zone is one of the IANA database; where this machine has none, whether it looks like one.
fn zone(name: &str) -> Result<(), String> {
    let unknown = || "this is not the IANA name of a time zone: `Europe/Berlin`, `UTC`".to_owned();
    let shaped = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    if name.is_empty() || !shaped {
        return Err(unknown());
    }
    let database = jiff::tz::db();
    if name == "UTC" || database.is_definitively_empty() || database.get(name).is_ok() {
        Ok(())
    } else {
        Err(unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scheduler_accepts_is_accepted() {
        for expression in [
            "rate(1 minute)",
            "rate(5 minutes)",
            "rate(1 hour)",
            "rate(7 days)",
            "cron(0 6 * * ? *)",
            "cron(0/15 * ? * MON-FRI *)",
            "cron(0 0 1,15 JAN,JUL ? 2026-2030)",
            "cron(0 0 L * ? *)",
            "cron(0 0 LW * ? *)",
            "cron(0 0 15W * ? *)",
            "cron(0 0 ? * 6L *)",
            "cron(0 0 ? * FRI#2 *)",
            "cron(*/5 0-5,20 * 1-6/2 ? *)",
            "at(2026-12-01T06:00:00)",
        ] {
            assert_eq!(check(expression), Ok(()), "{expression}");
        }
    }

    #[test]
    fn what_scheduler_refuses_is_refused_with_what_to_write() {
        for (expression, part) in [
            ("hourly", "a schedule is"),
            ("rate(1 hours)", "`rate(1 hour)`"),
            ("rate(2 hour)", "`rate(2 hours)`"),
            ("rate(0 hours)", "a rate is"),
            ("rate(1 week)", "a rate is"),
            ("rate(1hour)", "a rate is"),
            ("rate(-1 hours)", "a rate is"),
            ("cron(0 6 * * *)", "this one has 5"),
            ("cron(0 6 * * * *)", "is `?`"),
            ("cron(0 6 ? * ? *)", "both `?`"),
            ("cron(60 6 * * ? *)", "`60` is not allowed as minutes"),
            ("cron(0 24 * * ? *)", "as hours"),
            ("cron(0 6 0 * ? *)", "as day of month"),
            ("cron(0 6 ? * 8 *)", "as day of week"),
            ("cron(0 6 ? * MOO *)", "as day of week"),
            ("cron(0 6 * 13 ? *)", "as month"),
            ("cron(0 6 * * ? 1969)", "as year"),
            ("cron(0 6 ? * FRI#6 *)", "as day of week"),
            ("cron(5-1 6 * * ? *)", "as minutes"),
            ("cron(0/0 6 * * ? *)", "as minutes"),
            ("at(2026-12-01)", "without a zone"),
            ("at(2026-12-01T06:00:00Z)", "without a zone"),
            ("at(2026-13-01T06:00:00)", "without a zone"),
        ] {
            let message = check(expression).expect_err(expression);
            assert!(message.contains(part), "{expression}: {message}");
        }
    }

    #[test]
    fn a_time_zone_is_an_iana_name() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"] {
            assert_eq!(zone(name), Ok(()), "{name}");
        }
        for name in ["", "Berlin", "Europe/Atlantis", "../../etc/passwd"] {
            assert!(zone(name).is_err(), "{name}");
        }
    }
}
