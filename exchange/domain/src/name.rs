//! Names that take part in SQL and names that people read.

/// Longest identifier, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 63;
/// Longest name of a participant, in characters.
pub const PARTICIPANT_NAME_CHARS_MAX: usize = 100;
/// Longest title of a product, in characters.
pub const TITLE_CHARS_MAX: usize = 200;

/// Whether `text` is `[a-z_][a-z0-9_]{0,62}`: a dataset's, schema's, table's or column's name.
pub fn is_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= IDENTIFIER_BYTES_MAX
        && !bytes[0].is_ascii_digit()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
}

/// Whether `text` is `<schema>.<table>`, each an identifier.
pub fn is_table_name(text: &str) -> bool {
    text.split_once('.').is_some_and(|(schema, table)| is_identifier(schema) && is_identifier(table))
}

/// Whether people can read `text` as a name: 1 to `chars_max` characters, no control characters, no space at either end.
pub fn is_display_text(text: &str, chars_max: usize) -> bool {
    !text.is_empty() && text.chars().count() <= chars_max && text.trim() == text && !text.chars().any(is_deceptive)
}

/// Control characters, and the invisible ones that make one name look like another.
fn is_deceptive(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_identifier_is_lower_case_and_does_not_begin_with_a_digit() {
        for good in ["a", "_", "addr_state", "x9", &"a".repeat(63)] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", "9x", "Addr", "a b", "a-b", "é", "a\0", &"a".repeat(64)] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }

    #[test]
    fn a_table_name_has_exactly_one_dot() {
        assert!(is_table_name("lender.loans"));
        for bad in ["loans", "lender.", ".loans", "a.b.c", "lender.Loans"] {
            assert!(!is_table_name(bad), "{bad}");
        }
    }

    #[test]
    fn invisible_characters_are_no_part_of_a_name() {
        assert!(is_display_text("Erste Bank, Zürich 银行", 100));
        for bad in ["", " a", "a ", "a\u{202e}b", "a\u{200b}b", "a\nb", &"x".repeat(101)] {
            assert!(!is_display_text(bad, 100), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn identifiers_need_no_quoting(text in ".{0,80}") {
            if is_identifier(&text) {
                prop_assert!(text.is_ascii() && !text.contains(['"', '\'', ' ', ';', '.']));
            }
        }
    }
}
