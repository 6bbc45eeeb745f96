//! The type of a scalar that is not quoted, as the API server's reader sees it.
//!
//! That reader speaks YAML 1.1 with Go's number syntax: `y`, `on` and `yes` are booleans, `010` is eight, `1_000` is a
//! thousand, `80.0` is a number. Timestamps stay text.

/// A scalar's type and value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'n> {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(&'n str),
}

/// Reads the text of a plain scalar.
pub(super) fn resolve(text: &str) -> Scalar<'_> {
    let Some(first) = text.as_bytes().first() else {
        return Scalar::Null;
    };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text).unwrap_or(Scalar::Text(text)),
        b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => word(text),
        _ => Scalar::Text(text),
    }
}

fn word(text: &str) -> Scalar<'_> {
    match text {
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Boolean(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Boolean(false)
        }
        _ => Scalar::Text(text),
    }
}

fn number(text: &str) -> Option<Scalar<'static>> {
    if let Some(infinite) = infinity(text) {
        return Some(Scalar::Float(infinite));
    }
    let plain = text.replace('_', "");
    integer(&plain)
        .map(Scalar::Integer)
        .or_else(|| float(&plain).map(Scalar::Float))
}

fn infinity(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => None,
    }
}

/// Go's `ParseInt` with base 0: a leading `0` means octal.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    // Anything longer than 64 bits is a float to Go.
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    Some(if negative { -value } else { value })
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_is_fine = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && is_digits(digits)
    });
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    if !(has_digits && is_digits(whole) && is_digits(fraction) && exponent_is_fine) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_1_1_words_are_booleans() {
        for text in ["y", "Y", "yes", "on", "ON", "true"] {
            assert_eq!(resolve(text), Scalar::Boolean(true), "{text}");
        }
        for text in ["n", "no", "Off", "FALSE"] {
            assert_eq!(resolve(text), Scalar::Boolean(false), "{text}");
        }
        assert_eq!(resolve("yEs"), Scalar::Text("yEs"));
        assert_eq!(resolve("only"), Scalar::Text("only"));
    }

    #[test]
    fn numbers_follow_go() {
        assert_eq!(resolve("80"), Scalar::Integer(80));
        assert_eq!(resolve("010"), Scalar::Integer(8));
        assert_eq!(resolve("0x50"), Scalar::Integer(80));
        assert_eq!(resolve("0o17"), Scalar::Integer(15));
        assert_eq!(resolve("-1_0"), Scalar::Integer(-10));
        assert_eq!(resolve("080"), Scalar::Float(80.0));
        assert_eq!(resolve("1e3"), Scalar::Float(1000.0));
        assert_eq!(resolve(".5"), Scalar::Float(0.5));
        assert_eq!(resolve("1."), Scalar::Float(1.0));
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for text in [
            "10.0.0.0/8",
            "1.2.3",
            "12:30",
            "2001-01-01",
            "-",
            "--1",
            "0x",
            "1e",
            "-a",
            ".",
        ] {
            assert_eq!(resolve(text), Scalar::Text(text), "{text}");
        }
    }

    #[test]
    fn null_has_five_spellings() {
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(resolve(text), Scalar::Null, "{text}");
        }
    }
}
