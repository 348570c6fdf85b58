//! The reports: a snapshot of real ones, cycled for as many as are asked for, rendered on the fly.

use crate::query::{Filter, Order};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The snapshot, as `data/README.md` tells.
const SNAPSHOT: &[u8] = include_bytes!("../data/earthquakes.json.zst");

/// How much later each cycle of the snapshot's reports is than the one before: longer than the snapshot's span, so that
/// the order in time is the order of the cycles.
const CYCLE: i64 = 7 * 24 * 60 * 60 * 1000;

/// How many lists of matching reports are remembered: a puller asks for the pages of one list, one after the other.
const REMEMBERED: usize = 4;

/// All reports, in the order of time.
#[derive(Debug)]
pub(crate) struct Catalogue {
    templates: Vec<Template>,
    by_id: HashMap<String, usize>,
    generated: i64,
    changing: RwLock<Changing>,
    remembered: Mutex<VecDeque<(ListKey, Arc<Vec<u32>>)>>,
}

/// What can be told at run time.
#[derive(Debug, Default)]
struct Changing {
    records: u32,
    corrections: HashMap<u32, Correction>,
    rounds: u32,
}

#[derive(Clone, Copy, Debug)]
struct Correction {
    magnitude: Option<f64>,
    updated: i64,
}

/// What a list of matching reports depends on.
type ListKey = (Filter, Order, u32, u32);

/// A report's text, and where in it that stands which differs from cycle to cycle.
#[derive(Debug)]
struct Template {
    text: String,
    spots: Vec<(Range<usize>, Spot)>,
    id: String,
    time: i64,
    updated: i64,
    magnitude: Option<f64>,
    place: [f64; 3],
}

#[derive(Clone, Copy, Debug)]
enum Spot {
    /// Behind the report's id.
    Suffix,
    Time,
    Updated,
    Magnitude,
    /// The magnitude with one digit, as titles have it.
    TitleMagnitude,
}

/// The smallest box around some reports: longitude, latitude and depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    least: [f64; 3],
    most: [f64; 3],
}

#[derive(Deserialize)]
struct Collection<'a> {
    metadata: Metadata,
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata {
    generated: i64,
}

#[derive(Deserialize)]
struct Feature {
    id: String,
    properties: Properties,
    geometry: Geometry,
}

#[derive(Deserialize)]
struct Properties {
    mag: Option<f64>,
    time: i64,
    updated: i64,
    code: String,
}

#[derive(Deserialize)]
struct Geometry {
    coordinates: [f64; 3],
}

impl Catalogue {
    /// That many reports.
    pub(crate) fn new(records: u32) -> Self {
        let snapshot = zstd::decode_all(SNAPSHOT).expect("the snapshot is a zstd file");
        let collection: Collection<'_> =
            serde_json::from_slice(&snapshot).expect("the snapshot is a collection of features");
        let mut templates: Vec<Template> = collection
            .features
            .iter()
            .map(|feature| Template::new(feature.get()))
            .collect();
        templates.sort_by_key(|template| template.time);
        let by_id = templates
            .iter()
            .enumerate()
            .map(|(base, template)| (template.id.clone(), base))
            .collect();
        Self {
            templates,
            by_id,
            generated: collection.metadata.generated,
            changing: RwLock::new(Changing {
                records,
                ..Changing::default()
            }),
            remembered: Mutex::default(),
        }
    }

    /// How many reports the snapshot has.
    pub(crate) fn snapshot_size() -> u32 {
        1_707
    }

    /// When the snapshot was taken, in milliseconds since 1970: the time at which the source's clock stands still.
    pub(crate) fn generated(&self) -> i64 {
        self.generated
    }

    /// How many reports there are.
    pub(crate) fn records(&self) -> u32 {
        self.changing().records
    }

    /// Sets how many reports there are.
    pub(crate) fn set_records(&self, records: u32) {
        self.changing
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .records = records;
    }

    /// The reports that match, in that order, each by its number in the order of time.
    pub(crate) fn matching(&self, filter: &Filter, order: Order) -> Arc<Vec<u32>> {
        let changing = self.changing();
        let key = (filter.clone(), order, changing.records, changing.rounds);
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = remembered.iter().find(|(known, _)| *known == key) {
            return list.clone();
        }
        let mut list: Vec<u32> = (0..changing.records)
            .filter(|&number| {
                let time = self.time(number);
                let updated = self.updated(&changing, number);
                let magnitude = self.magnitude(&changing, number);
                filter.updated_after.is_none_or(|after| updated >= after)
                    && filter.start_time.is_none_or(|start| time >= start)
                    && filter.end_time.is_none_or(|end| time <= end)
                    && filter
                        .min_magnitude
                        .is_none_or(|least| magnitude.is_some_and(|magnitude| magnitude >= least))
                    && filter
                        .max_magnitude
                        .is_none_or(|most| magnitude.is_some_and(|magnitude| magnitude <= most))
            })
            .collect();
        match order {
            Order::TimeAsc => {}
            Order::Time => list.reverse(),
            Order::MagnitudeAsc => {
                list.sort_by(|a, b| self.compare_magnitudes(&changing, *a, *b));
            }
            Order::Magnitude => {
                list.sort_by(|a, b| self.compare_magnitudes(&changing, *b, *a));
            }
        }
        let list = Arc::new(list);
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back((key, list.clone()));
        list
    }

    /// Writes those reports as JSON, parted by a comma and a line break as the real service does, and tells the box
    /// around them.
    pub(crate) fn render(&self, numbers: &[u32], into: &mut Vec<u8>) -> Bounds {
        let changing = self.changing();
        let mut bounds = Bounds::EMPTY;
        for (at, &number) in numbers.iter().enumerate() {
            if at > 0 {
                into.extend_from_slice(b",\n");
            }
            self.render_one(&changing, number, into);
            bounds.include(self.template(number).place);
        }
        bounds
    }

    /// Corrects the magnitudes of those reports and notes all of them as updated at one moment, which it tells; without
    /// one given it is a minute after the last update of all.
    pub(crate) fn correct(&self, numbers: &[u32], magnitude: f64, updated: Option<i64>) -> i64 {
        let mut changing = self
            .changing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let updated = updated.unwrap_or_else(|| {
            let last = (0..changing.records)
                .map(|number| self.updated(&changing, number))
                .max();
            last.unwrap_or(self.generated) + 60_000
        });
        for &number in numbers {
            let magnitude = self
                .magnitude(&changing, number)
                .map(|known| ((known + magnitude) * 100.0).round() / 100.0);
            changing
                .corrections
                .insert(number, Correction { magnitude, updated });
        }
        changing.rounds += 1;
        updated
    }

    /// As many reports, spread evenly over all.
    pub(crate) fn spread(&self, count: u32) -> Vec<u32> {
        let records = u64::from(self.records());
        let count = u64::from(count).min(records);
        (0..count).map(|at| (at * records / count) as u32).collect()
    }

    /// The report of that id, if there is one.
    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        let (base, cycle) = if let Some(base) = self.by_id.get(id) {
            (*base, 0)
        } else {
            let (id, cycle) = id.rsplit_once('x')?;
            let cycle: usize = cycle.parse().ok().filter(|cycle| *cycle > 0)?;
            (*self.by_id.get(id)?, cycle)
        };
        let number = u32::try_from(cycle.checked_mul(self.templates.len())? + base).ok()?;
        (number < self.records()).then_some(number)
    }

    /// The id of that report.
    pub(crate) fn id(&self, number: u32) -> String {
        let template = self.template(number);
        match self.cycle(number) {
            0 => template.id.clone(),
            cycle => format!("{}x{cycle}", template.id),
        }
    }

    fn changing(&self) -> std::sync::RwLockReadGuard<'_, Changing> {
        self.changing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn template(&self, number: u32) -> &Template {
        &self.templates[number as usize % self.templates.len()]
    }

    fn cycle(&self, number: u32) -> i64 {
        i64::from(number) / self.templates.len() as i64
    }

    fn time(&self, number: u32) -> i64 {
        self.template(number).time + self.cycle(number) * CYCLE
    }

    fn updated(&self, changing: &Changing, number: u32) -> i64 {
        match changing.corrections.get(&number) {
            Some(correction) => correction.updated,
            None => self.template(number).updated + self.cycle(number) * CYCLE,
        }
    }

    fn magnitude(&self, changing: &Changing, number: u32) -> Option<f64> {
        match changing.corrections.get(&number) {
            Some(correction) => correction.magnitude,
            None => self.template(number).magnitude,
        }
    }

    fn compare_magnitudes(&self, changing: &Changing, a: u32, b: u32) -> std::cmp::Ordering {
        let magnitude = |number| {
            self.magnitude(changing, number)
                .unwrap_or(f64::NEG_INFINITY)
        };
        magnitude(a).total_cmp(&magnitude(b)).then(a.cmp(&b))
    }

    fn render_one(&self, changing: &Changing, number: u32, into: &mut Vec<u8>) {
        let template = self.template(number);
        let cycle = self.cycle(number);
        let correction = changing.corrections.get(&number);
        let text = template.text.as_bytes();
        if cycle == 0 && correction.is_none() {
            into.extend_from_slice(text);
            return;
        }
        let mut from = 0;
        for (range, spot) in &template.spots {
            into.extend_from_slice(&text[from..range.start]);
            from = range.end;
            let magnitude = correction.and_then(|correction| correction.magnitude);
            // Writing into a vector cannot fail.
            let _ = match (spot, magnitude) {
                (Spot::Suffix, _) if cycle > 0 => write!(into, "x{cycle}"),
                (Spot::Time, _) => write!(into, "{}", self.time(number)),
                (Spot::Updated, _) => write!(into, "{}", self.updated(changing, number)),
                (Spot::Magnitude, Some(magnitude)) => write!(into, "{magnitude}"),
                (Spot::TitleMagnitude, Some(magnitude)) => write!(into, "{magnitude:.1}"),
                _ => into.write_all(&text[range.clone()]),
            };
        }
        into.extend_from_slice(&text[from..]);
    }
}

impl Template {
    fn new(text: &str) -> Self {
        let feature: Feature =
            serde_json::from_str(text).expect("each of the snapshot's features is a report");
        let mut spots = Vec::new();
        for (at, id) in text.match_indices(&feature.id) {
            let end = at + id.len();
            if !text[end..].starts_with(|next: char| next.is_ascii_alphanumeric()) {
                spots.push((end..end, Spot::Suffix));
            }
        }
        let code = format!("\"code\":\"{}", feature.properties.code);
        if let Some(at) = text.find(&code) {
            spots.push((at + code.len()..at + code.len(), Spot::Suffix));
        }
        for (before, after, spot) in [
            ("\"mag\":", ',', Spot::Magnitude),
            ("\"time\":", ',', Spot::Time),
            ("\"updated\":", ',', Spot::Updated),
            ("\"title\":\"M ", ' ', Spot::TitleMagnitude),
        ] {
            if let Some(at) = text.find(before) {
                let start = at + before.len();
                let length = text[start..].find(after).unwrap_or_default();
                spots.push((start..start + length, spot));
            }
        }
        spots.sort_by_key(|(range, _)| range.start);
        Self {
            spots,
            text: text.to_owned(),
            id: feature.id,
            time: feature.properties.time,
            updated: feature.properties.updated,
            magnitude: feature.properties.mag,
            place: feature.geometry.coordinates,
        }
    }
}

impl Bounds {
    const EMPTY: Self = Self {
        least: [f64::INFINITY; 3],
        most: [f64::NEG_INFINITY; 3],
    };

    fn include(&mut self, place: [f64; 3]) {
        for (axis, value) in place.into_iter().enumerate() {
            self.least[axis] = self.least[axis].min(value);
            self.most[axis] = self.most[axis].max(value);
        }
    }

    /// The six numbers as GeoJSON orders them; none where the box would be flat, as the real service has it.
    pub(crate) fn bbox(&self) -> Option<String> {
        let wide = (0..3).all(|axis| self.least[axis] < self.most[axis]);
        let [west, south, top] = self.least;
        let [east, north, bottom] = self.most;
        wide.then(|| format!("[{west},{south},{top},{east},{north},{bottom}]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn render(catalogue: &Catalogue, number: u32) -> Value {
        let mut text = Vec::new();
        catalogue.render(&[number], &mut text);
        serde_json::from_slice(&text).expect("a report is JSON")
    }

    #[test]
    fn the_first_cycle_is_the_snapshot_as_it_is() {
        let catalogue = Catalogue::new(Catalogue::snapshot_size());
        assert_eq!(
            catalogue.templates.len(),
            Catalogue::snapshot_size() as usize
        );
        let snapshot = String::from_utf8(zstd::decode_all(SNAPSHOT).expect("zstd")).expect("text");
        for number in [0, 853, 1706] {
            let mut text = Vec::new();
            catalogue.render(&[number], &mut text);
            assert!(snapshot.contains(std::str::from_utf8(&text).expect("text")));
        }
    }

    #[test]
    fn later_cycles_have_ids_and_times_of_their_own() {
        let catalogue = Catalogue::new(5_200);
        let number = catalogue
            .find("ci37868143x2")
            .expect("there are three cycles");
        let (first, third) = (
            render(&catalogue, number - 2 * 1707),
            render(&catalogue, number),
        );
        assert_eq!(third["id"], "ci37868143x2");
        assert_eq!(third["properties"]["code"], "37868143x2");
        assert_eq!(third["properties"]["ids"], ",ci37868143x2,");
        assert_eq!(third["properties"]["mag"], first["properties"]["mag"]);
        for field in ["time", "updated"] {
            let shift = third["properties"][field]
                .as_i64()
                .zip(first["properties"][field].as_i64());
            assert_eq!(shift.map(|(third, first)| third - first), Some(2 * CYCLE));
        }
        assert_eq!(catalogue.id(number), "ci37868143x2");
        assert_eq!(catalogue.find("ci37868143x3"), None);
        assert_eq!(catalogue.find("ci37868143x0"), None);
        assert_eq!(catalogue.find("nobody"), None);
    }

    #[test]
    fn ids_are_unique_and_times_ascend() {
        let catalogue = Catalogue::new(4_000);
        let all = catalogue.matching(&Filter::default(), Order::TimeAsc);
        let ids: std::collections::HashSet<String> =
            all.iter().map(|number| catalogue.id(*number)).collect();
        assert_eq!(ids.len(), 4_000);
        assert!(
            all.windows(2)
                .all(|pair| catalogue.time(pair[0]) <= catalogue.time(pair[1]))
        );
    }

    #[test]
    fn a_correction_changes_magnitude_title_and_update_and_nothing_else() {
        let catalogue = Catalogue::new(1_707);
        let number = catalogue
            .find("ci37868143")
            .expect("a report of the snapshot");
        let before = render(&catalogue, number);
        let updated = catalogue.correct(&[number], 0.25, None);
        let mut expected = before.clone();
        expected["properties"]["mag"] = 2.25.into();
        expected["properties"]["updated"] = updated.into();
        expected["properties"]["title"] = "M 2.2 - 4km W of Castaic, CA".into();
        assert_eq!(render(&catalogue, number), expected);
        let filter = Filter {
            updated_after: Some(updated),
            ..Filter::default()
        };
        assert_eq!(*catalogue.matching(&filter, Order::TimeAsc), [number]);
    }

    #[test]
    fn orders_and_filters_agree_with_a_plain_scan() {
        let catalogue = Catalogue::new(2_000);
        let filter = Filter {
            min_magnitude: Some(4.5),
            ..Filter::default()
        };
        let magnitudes: Vec<f64> = catalogue
            .matching(&filter, Order::Magnitude)
            .iter()
            .filter_map(|number| render(&catalogue, *number)["properties"]["mag"].as_f64())
            .collect();
        let plain = (0..2_000)
            .filter(|number| render(&catalogue, *number)["properties"]["mag"].as_f64() >= Some(4.5))
            .count();
        assert_eq!(magnitudes.len(), plain);
        assert!(magnitudes.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn spread_takes_each_report_at_most_once() {
        let catalogue = Catalogue::new(10);
        assert_eq!(catalogue.spread(3), [0, 3, 6]);
        assert_eq!(catalogue.spread(99).len(), 10);
        assert!(catalogue.spread(0).is_empty());
    }
}
