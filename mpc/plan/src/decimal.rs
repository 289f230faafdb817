//! Exact decimals: text to value × 10^scale and back, never through a float.

/// Why a text is not a number of a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with at most one point and a sign.
    #[error("is not a plain decimal number")]
    NotANumber,
    /// Non-zero digits beyond the scale.
    #[error("has more digits after the point than the column")]
    TooPrecise,
    /// Beyond 64 bits.
    #[error("is too large")]
    TooLarge,
}

/// Reads `[+-]digits[.digits]` as value × 10^scale. Trailing zeros beyond the scale are no loss and accepted.
pub fn parse(text: &str, scale: u8) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return Err(DecimalError::NotANumber);
    }
    let kept = fraction.len().min(usize::from(scale));
    if fraction.as_bytes()[kept..].iter().any(|&b| b != b'0') {
        return Err(DecimalError::TooPrecise);
    }
    let zeros = std::iter::repeat_n(b'0', usize::from(scale) - kept);
    let sign = if negative { -1 } else { 1 };
    whole.bytes().chain(fraction.bytes().take(kept)).chain(zeros).try_fold(0i64, |value, digit| {
        value.checked_mul(10).and_then(|v| v.checked_add(sign * i64::from(digit - b'0'))).ok_or(DecimalError::TooLarge)
    })
}

/// Writes value × 10^scale with exactly `scale` digits after the point.
pub fn format(scaled: i64, scale: u8) -> String {
    if scale == 0 {
        return scaled.to_string();
    }
    let sign = if scaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", scaled.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_beyond_the_scale_are_refused_unless_zero() {
        assert_eq!(parse("16.29", 2), Ok(1629));
        assert_eq!(parse("16.2900", 2), Ok(1629));
        assert_eq!(parse("-0.5", 3), Ok(-500));
        assert_eq!(parse(".5", 1), Ok(5));
        assert_eq!(parse("5.", 1), Ok(50));
        assert_eq!(parse("16.291", 2), Err(DecimalError::TooPrecise));
        for text in ["", ".", "-", "+", "1e3", "0x1", "1.2.3", " 1", "--1", "٣"] {
            assert_eq!(parse(text, 2), Err(DecimalError::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn the_whole_64_bit_range_and_nothing_more_is_read() {
        assert_eq!(parse("-9223372036854775808", 0), Ok(i64::MIN));
        assert_eq!(parse("9223372036854775807", 0), Ok(i64::MAX));
        assert_eq!(parse("9223372036854775808", 0), Err(DecimalError::TooLarge));
        assert_eq!(parse("92233720368547758.08", 2), Err(DecimalError::TooLarge));
        assert_eq!(format(i64::MIN, 6), "-9223372036854.775808");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(scaled: i64, scale in 0u8..=18) {
            prop_assert_eq!(parse(&format(scaled, scale), scale), Ok(scaled));
        }
    }
}
