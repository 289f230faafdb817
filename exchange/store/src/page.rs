//! Pages of a list, by key: what comes after the last key that was seen.

/// Most items of one page.
pub const PAGE_ITEMS_MAX: u32 = 200;
/// Items of a page if nobody says otherwise.
pub const PAGE_ITEMS_DEFAULT: u32 = 50;

/// Which page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Items wanted, 1 to [`PAGE_ITEMS_MAX`].
    pub limit: u32,
    /// Key of the last item of the page before; none for the first page.
    pub after: Option<String>,
}

impl PageRequest {
    /// The SQL limit: one more than wanted, to learn whether another page follows.
    pub fn probe(&self) -> i64 {
        i64::from(self.limit.clamp(1, PAGE_ITEMS_MAX)) + 1
    }

    /// The key to begin after; every key is greater than the empty text.
    pub fn after(&self) -> &str {
        self.after.as_deref().unwrap_or("")
    }

    /// Cuts what was read with [`Self::probe`] to a page; `key` is what the rows are ordered by.
    pub fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.limit.clamp(1, PAGE_ITEMS_MAX) as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Page { items, next }
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: PAGE_ITEMS_DEFAULT, after: None }
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask for next; none on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something else.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_only_if_there_is_one() {
        let request = PageRequest { limit: 2, after: None };
        assert_eq!(request.page(vec![1, 2, 3], |i| i.to_string()), Page { items: vec![1, 2], next: Some("2".into()) });
        assert_eq!(request.page(vec![1, 2], |i| i.to_string()), Page { items: vec![1, 2], next: None });
    }
}
