//! Pages on the wire: `?limit=&cursor=` in, `{items, next_cursor}` out.

use crate::{Problem, limits::CURSOR_BYTES_MAX};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entrepot_exchange_domain::RefusalKind;
use entrepot_exchange_store::{
    Page, PageRequest,
    page::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items wanted, 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The page to read.
    pub fn request(&self) -> Result<PageRequest, Problem> {
        let limit = self.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
        if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Err(Problem::new(RefusalKind::Invalid, "invalid_limit", format!("`limit` goes from 1 to {PAGE_ITEMS_MAX}")));
        }
        let after = self.cursor.as_deref().map(decode).transpose()?;
        Ok(PageRequest { limit, after })
    }
}

/// What a cursor leads to is none of the list's keys.
pub(crate) fn wrong_cursor() -> Problem {
    Problem::new(RefusalKind::Invalid, "invalid_cursor", "`cursor` is none that this server gave out")
        .hint("begin again without `cursor`, and pass `next_cursor` on as it is")
}

fn decode(cursor: &str) -> Result<String, Problem> {
    if cursor.len() > CURSOR_BYTES_MAX {
        return Err(wrong_cursor());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong_cursor())?;
    String::from_utf8(bytes).map_err(|_| wrong_cursor())
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PageBody<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass as `cursor` to get the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> From<Page<T>> for PageBody<T> {
    fn from(page: Page<T>) -> Self {
        Self { items: page.items, next_cursor: page.next.map(|key| URL_SAFE_NO_PAD.encode(key)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_the_key_after_which_to_go_on() {
        let body = PageBody::from(Page { items: vec![1], next: Some("dataset_01".to_owned()) });
        let query = PageQuery { limit: None, cursor: body.next_cursor };
        assert_eq!(query.request().map(|r| r.after).ok(), Some(Some("dataset_01".to_owned())));
    }

    #[test]
    fn hostile_cursors_and_limits_are_refused() {
        for cursor in ["%", "é", "////", &"A".repeat(300)] {
            assert!(PageQuery { limit: None, cursor: Some(cursor.to_owned()) }.request().is_err(), "{cursor}");
        }
        for limit in [0, 201, u32::MAX] {
            assert!(PageQuery { limit: Some(limit), cursor: None }.request().is_err(), "{limit}");
        }
    }
}
