/// Returns a `LIKE` pattern for texts that contain `part`, with its wildcards escaped.
pub(crate) fn containing(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for character in part.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::containing;

    #[test]
    fn escapes_wildcards() {
        assert_eq!(containing("VIN1"), "%VIN1%");
        assert_eq!(containing(r"50%_\"), r"%50\%\_\\%");
    }
}
