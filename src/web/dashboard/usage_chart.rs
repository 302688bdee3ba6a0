//! Calls per day as a chart, a table and a sparkline, drawn on the server.

use keyhouse_domain::usage::{DailyCalls, Outcome, UtcDay};

/// Size of the chart in the units of its `viewBox`.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Height of a sparkline, whose days are 6 units apart.
const SPARK_HEIGHT: f64 = 20.0;

/// The calls of a number of days, the last one today.
pub(super) struct Chart {
    pub bars: Vec<Bar>,
    pub admitted: String,
    pub refused: String,
    /// The labels of the vertical axis, the greatest first.
    pub scale: [String; 4],
    /// Some days for the horizontal axis.
    pub labels: Vec<String>,
    pub bar_width: String,
}

/// A day: the numbers, and two rectangles on top of each other.
pub(super) struct Bar {
    /// `Nov 24`
    pub day: String,
    pub admitted: u64,
    pub refused: u64,
    x: f64,
    admitted_height: f64,
    refused_height: f64,
}

impl Bar {
    pub(super) fn admitted_label(&self) -> String {
        thousands(self.admitted)
    }

    pub(super) fn refused_label(&self) -> String {
        thousands(self.refused)
    }

    pub(super) fn x(&self) -> String {
        coordinate(self.x)
    }

    pub(super) fn admitted_y(&self) -> String {
        coordinate(HEIGHT - self.admitted_height)
    }

    pub(super) fn admitted_height(&self) -> String {
        coordinate(self.admitted_height)
    }

    pub(super) fn refused_y(&self) -> String {
        coordinate(HEIGHT - self.admitted_height - self.refused_height)
    }

    pub(super) fn refused_height(&self) -> String {
        coordinate(self.refused_height)
    }
}

impl Chart {
    /// The `days` days up to `today`, from counts of one key.
    pub(super) fn of(calls: &[DailyCalls], today: UtcDay, days: u32) -> Self {
        let sums = sums(calls, today, days);
        let step = nice_step(sums.iter().map(|(admitted, refused)| admitted + refused).max().unwrap_or(0));
        let per_call = HEIGHT / (step * 3) as f64;
        let slot = WIDTH / f64::from(days);
        let width = (slot * 2.0 / 3.0).min(48.0);
        let height = |calls: u64| if calls == 0 { 0.0 } else { (calls as f64 * per_call).max(2.0) };
        let bars = sums.iter().zip(first_day(today, days)..).map(|(&(admitted, refused), day)| Bar {
            day: day_label(UtcDay::from_number(day)),
            admitted,
            refused,
            x: (day - first_day(today, days)) as f64 * slot + (slot - width) / 2.0,
            admitted_height: height(admitted),
            refused_height: height(refused),
        });
        let bars: Vec<Bar> = bars.collect();
        let label = |quarter: usize| bars[(bars.len() - 1) * quarter / 4].day.clone();
        Self {
            admitted: thousands(sums.iter().map(|(admitted, _)| admitted).sum()),
            refused: thousands(sums.iter().map(|(_, refused)| refused).sum()),
            scale: [3, 2, 1, 0].map(|n| thousands(n * step)),
            labels: (0..=4).map(label).collect(),
            bar_width: coordinate(width),
            bars,
        }
    }
}

/// The path of a sparkline of `days` days: a vertical stroke for each day with calls.
pub(super) fn sparkline(calls: &[DailyCalls], today: UtcDay, days: u32) -> String {
    let sums = sums(calls, today, days);
    let most = sums.iter().map(|(admitted, refused)| admitted + refused).max().unwrap_or(0).max(1);
    let mut path = String::new();
    for (index, (admitted, refused)) in sums.into_iter().enumerate() {
        if admitted + refused > 0 {
            let height = ((admitted + refused) as f64 / most as f64 * SPARK_HEIGHT).max(2.0);
            path += &format!("M{} 22v-{}", index * 6 + 3, coordinate(height));
        }
    }
    path
}

/// Admitted and refused calls of each day.
fn sums(calls: &[DailyCalls], today: UtcDay, days: u32) -> Vec<(u64, u64)> {
    let mut sums = vec![(0, 0); days as usize];
    for count in calls {
        let index = usize::try_from(count.day.number() - first_day(today, days)).ok();
        if let Some((admitted, refused)) = index.and_then(|index| sums.get_mut(index)) {
            *if count.outcome.is_refused() { refused } else { admitted } += count.calls;
        }
    }
    sums
}

fn first_day(today: UtcDay, days: u32) -> i64 {
    today.number() - i64::from(days) + 1
}

/// The distance of two grid lines: with three of them, the greatest value fits below the upper one.
fn nice_step(most: u64) -> u64 {
    let mut power = 1;
    loop {
        for factor in [1, 2, 4, 5, 8] {
            if factor * power * 3 >= most {
                return factor * power;
            }
        }
        power *= 10;
    }
}

/// With at most one decimal.
fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// `48,456`
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `Nov 24`
pub(super) fn day_label(day: UtcDay) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // RFC 3339: 2026-11-24T…
    let text = day.begins().to_string();
    let mut parts = text.split(['-', 'T']).skip(1).map(|part| part.parse::<usize>().unwrap_or(1));
    let (month, day) = (parts.next().unwrap_or(1), parts.next().unwrap_or(1));
    format!("{} {day}", MONTHS[(month - 1) % 12])
}

/// The outcome as pages show it.
pub(super) const fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Admitted => "Admitted",
        Outcome::Scope => "Insufficient scope",
        Outcome::RateLimit => "Rate limited",
        Outcome::ClientError => "Client error",
        Outcome::ServerError => "Server error",
        Outcome::Expired => "Expired",
        Outcome::Paused => "Paused",
        Outcome::Address => "Address not allowed",
        Outcome::Revoked => "Revoked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyhouse_domain::ids::{IdSeed, KeyId};

    fn calls(day: i64, outcome: Outcome, calls: u64) -> DailyCalls {
        DailyCalls { key: KeyId::new(IdSeed { ms: 1, random: 1 }), day: UtcDay::from_number(day), outcome, calls }
    }

    #[test]
    fn a_chart_has_a_bar_for_each_day_and_a_round_scale() {
        let counted = [
            calls(20_400, Outcome::Admitted, 9_999),
            calls(20_416, Outcome::Admitted, 2074),
            calls(20_417, Outcome::RateLimit, 3),
        ];
        let chart = Chart::of(&counted, UtcDay::from_number(20_417), 7);
        assert_eq!(
            (chart.bars.len(), &*chart.admitted, &*chart.refused),
            (7, "2,074", "3"),
            "earlier days are left out"
        );
        assert_eq!(chart.scale, ["2,400", "1,600", "800", "0"]);
        assert_eq!(
            (chart.labels.first().unwrap().as_str(), chart.labels.last().unwrap().as_str()),
            ("Nov 19", "Nov 25")
        );
        let last = &chart.bars[6];
        assert_eq!((last.refused_y(), last.refused_height()), ("178".into(), "2".into()), "a single call can be seen");
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
