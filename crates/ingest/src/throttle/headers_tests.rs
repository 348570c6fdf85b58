use super::*;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

const NOW: &str = "2018-02-07T02:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (
            name.to_ascii_lowercase().parse::<HeaderName>().unwrap(),
            value.parse::<HeaderValue>().unwrap(),
        )
    };
    let mut map = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        map.append(name, value);
    }
    map
}

fn asked(text: &str, date: Option<&str>) -> Option<Duration> {
    let mut pairs = vec![("retry-after", text)];
    pairs.extend(date.map(|date| ("date", date)));
    retry_after(&headers(&pairs), now())
}

#[test]
fn retry_after_is_read_as_seconds() {
    assert_eq!(asked("0", None), Some(Duration::ZERO));
    assert_eq!(asked("120", None), Some(Duration::from_mins(2)));
    assert_eq!(asked("1.2", None), Some(Duration::from_secs(2)));
    assert_eq!(asked("90s", None), Some(Duration::from_secs(90)));
    for nonsense in ["", "-5", "soon", "nan", "inf", "1e300", "s", "5x", "."] {
        assert_eq!(asked(nonsense, None), None, "{nonsense}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now()), None);
}

#[test]
fn retry_after_is_read_as_a_date_by_the_sources_clock() {
    let until = "Wed, 07 Feb 2018 02:01:30 GMT";
    for text in [until, "2018-02-07T02:01:30Z", "1517968890", "1517968890000"] {
        assert_eq!(asked(text, None), Some(Duration::from_secs(90)), "{text}");
        let an_hour_slow = Some("Wed, 07 Feb 2018 01:01:00 GMT");
        assert_eq!(asked(text, an_hour_slow), Some(Duration::from_secs(3630)));
        let past = Some("Wed, 07 Feb 2018 03:00:00 GMT");
        assert_eq!(asked(text, past), Some(Duration::ZERO));
        assert_eq!(asked(text, Some("nonsense")), Some(Duration::from_secs(90)));
    }
}

#[test]
fn what_is_left_is_read_in_all_its_spellings() {
    for (pairs, requests, limit, seconds) in [
        (
            &[
                ("RateLimit-Limit", "100"),
                ("RateLimit-Remaining", "50"),
                ("RateLimit-Reset", "5"),
            ][..],
            50,
            Some(100),
            5,
        ),
        (
            &[("RateLimit", "limit=100, remaining=50, reset=5")],
            50,
            Some(100),
            5,
        ),
        (
            &[
                ("RateLimit", "\"default\";r=50;t=30"),
                ("RateLimit-Policy", "\"default\";q=100;w=60"),
            ],
            50,
            Some(100),
            30,
        ),
        (&[("RateLimit", "default;r=7;t=1")], 7, None, 1),
        // The tighter of two.
        (
            &[
                ("RateLimit", "\"burst\";r=90;t=1, \"daily\";r=3;t=60"),
                ("RateLimit-Policy", "\"burst\";q=100;w=1"),
                ("RateLimit-Policy", "\"daily\";q=5000;w=86400"),
            ],
            3,
            Some(5_000),
            60,
        ),
        (
            &[
                ("X-RateLimit-Limit", "60"),
                ("X-RateLimit-Remaining", "56"),
                ("X-RateLimit-Reset", "1517968890"),
            ],
            56,
            Some(60),
            90,
        ),
        (
            &[
                ("X-Rate-Limit-Remaining", "9"),
                ("X-Rate-Limit-Reset", "1517968890000"),
            ],
            9,
            None,
            90,
        ),
        (
            &[
                ("X-RateLimit-Remaining", "9"),
                ("X-RateLimit-Reset", "2018-02-07T02:01:30Z"),
            ],
            9,
            None,
            90,
        ),
        (
            &[
                ("X-RateLimit-Remaining", "9"),
                ("X-RateLimit-Reset", "Wed, 07 Feb 2018 02:01:30 GMT"),
            ],
            9,
            None,
            90,
        ),
        (
            &[
                ("x-ratelimit-limit-requests", "500"),
                ("x-ratelimit-remaining-requests", "499"),
                ("x-ratelimit-reset-requests", "1m30s"),
            ],
            499,
            Some(500),
            90,
        ),
        (
            &[
                ("X-RateLimit-Remaining-Minute", "3"),
                ("X-RateLimit-Limit-Minute", "9"),
            ],
            3,
            Some(9),
            60,
        ),
        (&[("X-HubSpot-RateLimit-Remaining", "-1")], 0, None, 60),
        (
            &[
                ("X-RateLimit-Remaining", "1"),
                ("X-RateLimit-Reset", "1517968890"),
                ("X-RateLimit-Reset-After", "2"),
            ],
            1,
            None,
            90,
        ),
    ] {
        let expected = Left {
            requests,
            limit,
            reset: Duration::from_secs(seconds),
        };
        assert_eq!(left(&headers(pairs), now()), Some(expected), "{pairs:?}");
    }
    for pairs in [
        &[("X-RateLimit-Limit", "60")][..],
        &[("X-RateLimit-Remaining", "many")],
        &[("RateLimit", ";;,=,r=")],
        &[
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", "9999999999"),
        ],
    ] {
        assert_eq!(left(&headers(pairs), now()), None, "{pairs:?}");
    }
}

#[test]
fn requests_are_spread_where_little_is_left() {
    let left = |requests, limit| Left {
        requests,
        limit,
        reset: Duration::from_mins(1),
    };
    assert_eq!(left(21, Some(100)).spacing(1), Duration::ZERO);
    assert_eq!(left(19, Some(100)).spacing(1), Duration::from_secs(3));
    assert_eq!(left(19, Some(100)).spacing(4), Duration::from_secs(12));
    assert_eq!(left(11, None).spacing(1), Duration::ZERO);
    assert_eq!(left(9, None).spacing(1), Duration::from_secs(6));
    assert_eq!(left(1, None).spacing(9), Duration::from_mins(1));
    assert_eq!(left(0, None).spacing(1), Duration::from_mins(1));
}

proptest! {
    #[test]
    fn no_header_is_too_strange(
        name in "(retry-after|ratelimit(-policy|-remaining|-reset)?|x-rate-?limit-(remaining|reset|limit)(-after|-day)?|date)",
        value in "[ -~]{0,40}|[0-9.e+-]{1,25}|([0-9]{1,4}(ms|s|m|h|d)){1,5}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT",
        other in "[0-9]{1,30}",
    ) {
        let mut map = headers(&[("x-ratelimit-remaining", &other), ("x-ratelimit-reset", &other)]);
        map.append(name.parse::<HeaderName>().unwrap(), value.trim().parse().unwrap());
        for now in [now(), Timestamp::MIN, Timestamp::MAX] {
            let _ = retry_after(&map, now);
            if let Some(left) = left(&map, now) {
                prop_assert!(left.spacing(3) <= LONGEST_BELIEVED);
            }
        }
    }
}
