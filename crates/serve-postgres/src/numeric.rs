//! PostgreSQL's `numeric` on the wire: digits of base 10 000.

use millrace_serve::source::Decimal;
use std::io::Write as _;

const NEGATIVE: u16 = 0x4000;
const POSITIVE: u16 = 0x0000;

/// Appends a number with all its digits; null for NaN and the infinities. None where the bytes are no number.
pub fn write(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut words = bytes
        .chunks_exact(2)
        .map(|word| u16::from_be_bytes([word[0], word[1]]));
    let count = usize::from(words.next()?);
    let weight = i32::from(words.next()? as i16);
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    if sign != NEGATIVE && sign != POSITIVE {
        out.extend_from_slice(b"null");
        return Some(());
    }
    let digits: Vec<u16> = words.collect();
    if digits.len() != count || bytes.len() != 8 + 2 * count {
        return None;
    }
    // The digit that stands for 10000^power; those that are not sent are zero.
    let digit = |power: i32| {
        usize::try_from(weight - power)
            .ok()
            .and_then(|at| digits.get(at))
            .copied()
            .unwrap_or(0)
    };
    if sign == NEGATIVE {
        out.push(b'-');
    }
    write!(out, "{}", digit(weight.max(0))).ok()?;
    for power in (0..weight).rev() {
        write!(out, "{:04}", digit(power)).ok()?;
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut power = -1;
        while out.len() < end {
            write!(out, "{:04}", digit(power)).ok()?;
            power -= 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// The wire form of a decimal number, `-12.5` or `1.5e-7`, as Rust and JSON write finite numbers.
pub fn parse(text: &str) -> Option<Vec<u8>> {
    let number = Decimal::parse(text)?;
    let scale = number.scale();
    let Decimal {
        negative,
        mut digits,
        mut point,
    } = number;
    // Digits are grouped in fours on both sides of the point.
    while point.rem_euclid(4) != 0 {
        digits.insert(0, 0);
        point += 1;
    }
    while !digits.len().is_multiple_of(4) {
        digits.push(0);
    }
    let mut groups: Vec<u16> = digits
        .chunks(4)
        .map(|four| {
            four.iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(*digit))
        })
        .collect();
    let mut weight = point / 4 - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if negative && !groups.is_empty() {
        NEGATIVE
    } else {
        POSITIVE
    };
    let header = [
        u16::try_from(groups.len()).ok()?,
        i16::try_from(weight).ok()? as u16,
        sign,
        u16::try_from(scale).ok()?,
    ];
    Some(
        header
            .into_iter()
            .chain(groups)
            .flat_map(u16::to_be_bytes)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::float_cmp,
        reason = "the very same number is what is asked for"
    )]

    use super::*;
    use proptest::prelude::*;

    fn round(text: &str) -> String {
        let mut out = Vec::new();
        write(&parse(text).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_come_back() {
        for text in [
            "0",
            "5",
            "-5",
            "12345",
            "10000",
            "0.5",
            "-0.0001",
            "12345678.00012",
            "100000000.5",
            "0.00001234",
        ] {
            assert_eq!(round(text), text);
        }
        assert_eq!(round("1e3"), "1000");
        assert_eq!(round("1.5e-7"), "0.00000015");
        assert_eq!(round("-0"), "0");
        assert_eq!(round("0.10"), "0.10");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(parse("NaN").is_none());
        assert!(write(&[0, 1, 0, 0], &mut Vec::new()).is_none());
        assert!(write(&[0, 1, 0, 0, 0, 0, 0, 0], &mut Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn every_double_comes_back(number in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let text = format!("{number:?}");
            prop_assume!(number.abs() < 1e300 && (number == 0.0 || number.abs() > 1e-300));
            let number = if number == 0.0 { 0.0 } else { number };
            prop_assert_eq!(round(&text).parse::<f64>().unwrap(), number);
        }
    }
}
