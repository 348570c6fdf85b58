//! Which rows come from a cursor on, as conditions that an index can be entered by.

use super::Pages;
use crate::united::Part;
use std::fmt::Write as _;

/// Rows of the answer that one statement finds, in order. Rows with the first key and rows without lie in two stretches,
/// so that each of the two has a condition that an index of that key can be entered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The condition; empty for all rows.
    pub condition: String,
    /// Which of the cursor's values are bound, in order.
    pub bound: Vec<usize>,
    /// Whether the boundary between recent rows and older ones is bound behind these.
    pub boundary: bool,
}

impl Pages {
    /// The stretches of the rows from a cursor on, its own row included; of all rows where there is none. `null` says of
    /// each of the cursor's values whether it is NULL.
    pub fn stretches(&self, null: Option<&[bool]>) -> Vec<Stretch> {
        let all = Stretch {
            condition: String::new(),
            bound: Vec::new(),
            boundary: false,
        };
        let (Some(null), Some([first, ..])) = (null, self.keys.as_deref()) else {
            return vec![all];
        };
        let mut builder = Condition {
            pages: self,
            null,
            bound: Vec::new(),
            rest: "TRUE",
        };
        let without = Stretch {
            condition: format!("{} IS NULL", first.sql),
            bound: Vec::new(),
            boundary: false,
        };
        let with = Stretch {
            condition: format!("{} IS NOT NULL", first.sql),
            bound: Vec::new(),
            boundary: false,
        };
        if null[0] {
            let rest = builder.from(1);
            let own = Stretch {
                condition: format!("{} AND {rest}", without.condition),
                bound: builder.bound,
                boundary: false,
            };
            return if first.nulls_first {
                vec![own, with]
            } else {
                vec![own]
            };
        }
        let value = builder.bind(0);
        let entry = format!(
            "{} {} {value}",
            first.sql,
            if first.descending { "<=" } else { ">=" }
        );
        let from = builder.from(0);
        let own = Stretch {
            condition: format!("{entry} AND {from}"),
            bound: builder.bound,
            boundary: false,
        };
        if first.nulls_first {
            vec![own]
        } else {
            vec![own, without]
        }
    }
}

impl Pages {
    /// The rows of a part of a table that come behind a row of that part; all of it where there is none. No two rows are
    /// equal in the order. `null` says of each of the row's values whether it is NULL. None where there is no order.
    pub fn part(&self, part: Part, null: Option<&[bool]>) -> Option<Stretch> {
        let [first, ..] = self.keys.as_deref()? else {
            return None;
        };
        let mut bound = Vec::new();
        let mut conditions = Vec::new();
        if let Some(null) = null {
            let mut builder = Condition {
                pages: self,
                null,
                bound,
                rest: "FALSE",
            };
            if null.first() == Some(&true) {
                conditions.push(builder.from(1));
            } else {
                // That which an index can be entered by.
                let value = builder.bind(0);
                let sign = if first.descending { "<=" } else { ">=" };
                conditions.push(format!("{} {sign} {value}", first.sql));
                conditions.push(builder.from(0));
            }
            bound = builder.bound;
        }
        match part {
            Part::Recent => {}
            Part::Older => {
                let boundary = self.parameters + bound.len() + 1;
                conditions.push(format!("{} < ${boundary}", first.sql));
            }
            Part::Undated => conditions.push(format!("{} IS NULL", first.sql)),
        }
        Some(Stretch {
            condition: conditions.join(" AND "),
            bound,
            boundary: part == Part::Older,
        })
    }
}

/// Writes the condition that a row is the cursor's or comes behind it.
struct Condition<'a> {
    pages: &'a Pages,
    null: &'a [bool],
    bound: Vec<usize>,
    /// Whether it may be the cursor's.
    rest: &'static str,
}

impl Condition<'_> {
    /// The placeholder of one of the cursor's values, which come behind the query's own parameters.
    fn bind(&mut self, value: usize) -> String {
        let at = self
            .bound
            .iter()
            .position(|bound| *bound == value)
            .unwrap_or_else(|| {
                self.bound.push(value);
                self.bound.len() - 1
            });
        format!("${}", self.pages.parameters + at + 1)
    }

    /// As far as the keys from that one on tell.
    fn from(&mut self, at: usize) -> String {
        let Some(key) = self.pages.keys.iter().flatten().nth(at).cloned() else {
            return self.rest.to_owned();
        };
        let (behind, same) = if self.null[at] {
            let behind = if key.nulls_first {
                format!("{} IS NOT NULL", key.sql)
            } else {
                "FALSE".to_owned()
            };
            (behind, format!("{} IS NULL", key.sql))
        } else {
            let value = self.bind(at);
            let mut behind = format!(
                "{} {} {value}",
                key.sql,
                if key.descending { "<" } else { ">" }
            );
            // The first key's NULLs are a stretch of their own.
            if !key.nulls_first && at > 0 {
                let _ = write!(behind, " OR {} IS NULL", key.sql);
            }
            (behind, format!("{} = {value}", key.sql))
        };
        let rest = self.from(at + 1);
        format!("({behind} OR ({same} AND {rest}))")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Key;

    fn pages(keys: &[(bool, bool)]) -> Pages {
        let keys = keys
            .iter()
            .enumerate()
            .map(|(at, (descending, nulls_first))| Key {
                sql: format!("q.c{at}"),
                place: at,
                descending: *descending,
                nulls_first: *nulls_first,
            });
        Pages {
            parameters: 1,
            keys: Some(keys.collect()),
            select: "SELECT q.c0, q.c1 FROM (…) AS q (c0, c1)".into(),
        }
    }

    fn conditions(pages: &Pages, null: &[bool]) -> Vec<(String, Vec<usize>)> {
        pages
            .stretches(Some(null))
            .into_iter()
            .map(|stretch| (stretch.condition, stretch.bound))
            .collect()
    }

    #[test]
    fn the_first_page_has_no_condition() {
        let pages = pages(&[(true, true), (false, false)]);
        let [all] = pages.stretches(None).try_into().unwrap();
        assert_eq!(
            pages.statement(&all, "", "101"),
            "SELECT q.c0, q.c1 FROM (…) AS q (c0, c1) ORDER BY q.c0 DESC NULLS FIRST, q.c1 ASC NULLS LAST LIMIT 101"
        );
    }

    #[test]
    fn a_condition_can_be_entered_by_an_index() {
        let pages = pages(&[(true, true), (false, true)]);
        assert_eq!(
            conditions(&pages, &[false, false]),
            [(
                "q.c0 <= $2 AND (q.c0 < $2 OR (q.c0 = $2 AND (q.c1 > $3 OR (q.c1 = $3 AND TRUE))))"
                    .to_owned(),
                vec![0, 1]
            )]
        );
    }

    #[test]
    fn rows_without_the_first_key_are_a_stretch_of_their_own() {
        let last = pages(&[(false, false), (false, false)]);
        let found = conditions(&last, &[false, true]);
        assert_eq!(
            found[0].0,
            "q.c0 >= $2 AND (q.c0 > $2 OR (q.c0 = $2 AND (FALSE OR (q.c1 IS NULL AND TRUE))))"
        );
        assert_eq!(found[1], ("q.c0 IS NULL".to_owned(), vec![]));
        let found = conditions(&last, &[true, false]);
        assert_eq!(
            found,
            [(
                "q.c0 IS NULL AND (q.c1 > $2 OR q.c1 IS NULL OR (q.c1 = $2 AND TRUE))".to_owned(),
                vec![1]
            )]
        );
        let first = pages(&[(false, true), (false, false)]);
        assert_eq!(conditions(&first, &[true, true]).len(), 2);
        assert_eq!(conditions(&first, &[false, true]).len(), 1);
    }
}
