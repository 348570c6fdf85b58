//! Decimal numbers as they are written.

/// A decimal number, `-12.5` or `1.5e-7`, as Rust and JSON write finite numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Whether a minus stands before it.
    pub negative: bool,
    /// All its digits, each from 0 to 9.
    pub digits: Vec<u8>,
    /// How many of them stand before the point: before any, where it is negative.
    pub point: i32,
}

impl Decimal {
    /// Reads a number; none where it is none, or is beyond what anybody counts.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let letters = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !letters().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
        (-400..=400).contains(&point).then(|| Self {
            negative,
            digits: letters().map(|byte| byte - b'0').collect(),
            point,
        })
    }

    /// The number without its point, with so many digits behind where it stood; none where it has more, or too many.
    pub fn scaled(&self, scale: i8) -> Option<i128> {
        let behind = i32::try_from(self.digits.len()).ok()? - self.point;
        let shift = i32::from(scale) - behind;
        let mut digits = self.digits.as_slice();
        for _ in shift..0 {
            digits = match digits {
                [before @ .., 0] => before,
                [] => digits,
                _ => return None,
            };
        }
        let zeros = std::iter::repeat_n(&0, usize::try_from(shift).unwrap_or(0));
        let value = digits
            .iter()
            .chain(zeros)
            .try_fold(0_i128, |value, digit| {
                value.checked_mul(10)?.checked_add(i128::from(*digit))
            })?;
        Some(if self.negative { -value } else { value })
    }

    /// How many digits stand behind the point.
    pub fn scale(&self) -> usize {
        let digits = i32::try_from(self.digits.len()).unwrap_or(i32::MAX);
        usize::try_from(digits - self.point).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".5", "a", "1.2.3", "1e", "NaN", "1e999999"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
        let number = Decimal::parse("-12.50e1").unwrap();
        assert_eq!((number.point, number.scale()), (3, 1));
        assert_eq!(number.digits, [1, 2, 5, 0]);
        assert_eq!(Decimal::parse("1e3").unwrap().scale(), 0);
    }

    #[test]
    fn points_are_moved_and_no_digit_is_lost() {
        let scaled = |text, scale| Decimal::parse(text).unwrap().scaled(scale);
        assert_eq!(scaled("-12.5", 2), Some(-1250));
        assert_eq!(scaled("12.50", 1), Some(125));
        assert_eq!(scaled("1e3", 0), Some(1000));
        assert_eq!(scaled("1200", -2), Some(12));
        assert_eq!(scaled("0.0", 0), Some(0));
        assert_eq!(scaled("12.5", 0), None);
        assert_eq!(scaled(&"9".repeat(40), 0), None);
    }
}
