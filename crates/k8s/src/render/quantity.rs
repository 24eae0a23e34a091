//! Kubernetes quantities, parsed for comparison only.

/// Parses a quantity; `None` if `text` is not one, or is negative.
pub(super) fn parse(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    Some(number * scale(suffix)?)
}

fn scale(suffix: &str) -> Option<f64> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i32); 10] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some(power) = BINARY
        .iter()
        .zip(1..)
        .find_map(|(unit, power)| (*unit == suffix).then_some(power))
    {
        return Some(1024_f64.powi(power));
    }
    let exponent = || suffix.strip_prefix(['e', 'E'])?.parse().ok();
    let decimal = DECIMAL
        .iter()
        .find(|(unit, _)| *unit == suffix)
        .map(|(_, power)| *power);
    decimal.or_else(exponent).map(|power: i32| 10_f64.powi(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_kubernetes_quantities() {
        for (text, number) in [
            ("0", 0.0),
            ("50m", 0.05),
            ("1.5", 1.5),
            ("128Mi", 134_217_728.0),
            ("1G", 1e9),
            ("2e3", 2000.0),
            ("1E", 1e18),
            ("1E-3", 0.001),
        ] {
            let read = parse(text).expect("a quantity");
            assert!((read - number).abs() <= number * 1e-9, "{text} is {read}");
        }
        for text in ["", "-1", "1 Gi", "Gi", "1gi", "1KB", "1..2", "e3", "NaN", "inf"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
