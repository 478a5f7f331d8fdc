//! Figures: one sample a round, and what several rounds say.

use std::collections::BTreeMap;

use serde::Serialize;

/// What one round measured, by name of the figure.
pub(super) type Sample = BTreeMap<&'static str, f64>;

/// The middle of several rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Middle {
    /// The median.
    pub(super) median: f64,
    /// From the first to the third quartile.
    pub(super) spread: f64,
}

/// Of any number of values but none.
pub(super) fn middle(mut values: Vec<f64>) -> Option<Middle> {
    values.sort_unstable_by(f64::total_cmp);
    Some(Middle {
        median: quantile(&values, 0.5)?,
        spread: quantile(&values, 0.75)? - quantile(&values, 0.25)?,
    })
}

/// A quantile of values in order, between two of them where it lies there.
pub(super) fn quantile(sorted: &[f64], at: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = at * last as f64;
    let (low, high) = (place.floor(), place.ceil());
    let value = |index: f64| sorted.get(index as usize).copied();
    Some(value(low)? + (value(high)? - value(low)?) * (place - low))
}

/// The middle of one figure in all rounds.
pub(super) fn middle_of(rounds: &[Sample], figure: &str) -> Option<Middle> {
    middle(
        rounds
            .iter()
            .filter_map(|r| r.get(figure).copied())
            .collect(),
    )
}

/// The middle of one figure of `ours` compared with `theirs`, round by round, so that what slows the
/// whole machine for a while slows both.
pub(super) fn compared(
    ours: &[Sample],
    theirs: &[Sample],
    figure: &str,
    how: impl Fn(f64, f64) -> f64,
) -> Option<f64> {
    let pairs = ours.iter().zip(theirs);
    let values = pairs.filter_map(|(our, their)| Some(how(*our.get(figure)?, *their.get(figure)?)));
    Some(middle(values.collect())?.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_between_two_where_there_is_no_middle_one() {
        let of = |values: &[f64]| middle(values.to_vec()).unwrap();
        assert_eq!(
            of(&[3.0, 1.0, 2.0]),
            Middle {
                median: 2.0,
                spread: 1.0
            }
        );
        assert_eq!(of(&[4.0, 1.0]).median, 2.5);
        assert_eq!(middle(Vec::new()), None);
    }

    #[test]
    fn rounds_are_compared_with_the_same_round() {
        let rounds = |values: [f64; 3]| values.map(|v| Sample::from([("x", v)]));
        let (ours, theirs) = (rounds([1.0, 10.0, 2.0]), rounds([2.0, 20.0, 4.0]));
        assert_eq!(compared(&ours, &theirs, "x", |a, b| a / b), Some(0.5));
        assert_eq!(compared(&ours, &theirs, "y", |a, b| a / b), None);
    }
}
