//! Pages of a list: how many rows, and after which.

use super::ids::ProductId;

/// Rows of one page: 1 to 100, by default 20.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    /// Most rows of a page.
    pub const MAX: u8 = 100;
    /// Rows of a page unless the request says otherwise.
    pub const DEFAULT: u8 = 20;

    /// Reads digits; a sign or a space is refused.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = plain.then(|| text.parse().ok()).flatten()?;
        (1..=Self::MAX).contains(&value).then_some(Self(value))
    }

    /// The number of rows.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(Self::DEFAULT)
    }
}

/// The last row of the previous page, after which the next one starts. The query checks that the row is the tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(ProductId);

impl Cursor {
    /// `None` if the text is not a product id.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// The position after this product.
    pub fn after(product: ProductId) -> Self {
        Self(product)
    }

    /// The product after which the page starts.
    pub fn product(self) -> ProductId {
        self.0
    }
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Whether the list continues after the last row.
    pub has_more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_run_from_1_to_100() {
        for (text, value) in [("1", Some(1)), ("020", Some(20)), ("100", Some(100))] {
            assert_eq!(Limit::parse(text).map(Limit::get), value);
        }
        for text in ["", "0", "101", "256", "-1", "+5", " 5", "5.0", "1e1", "٣"] {
            assert_eq!(Limit::parse(text), None, "{text}");
        }
    }
}
