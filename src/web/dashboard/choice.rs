//! Options of the filters above a list.

/// An option of a filter.
pub(super) struct Choice {
    pub value: String,
    pub words: String,
    pub is_selected: bool,
}

/// The options of a filter from pairs of value and words.
pub(super) fn choices(options: impl IntoIterator<Item = (String, String)>, selected: &str) -> Vec<Choice> {
    let choice = |(value, words): (String, String)| Choice { is_selected: value == selected, value, words };
    options.into_iter().map(choice).collect()
}

/// A period that a list can be limited to: the parameter's value, its words and its length in seconds; 0 for no limit.
pub(super) type Period = (&'static str, &'static str, u64);

/// The options of a filter by period.
pub(super) fn period_choices(periods: &[Period], selected: &str) -> Vec<Choice> {
    choices(periods.iter().map(|(value, words, _)| ((*value).to_owned(), (*words).to_owned())), selected)
}
