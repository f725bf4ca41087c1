//! Medians, spreads and ratios of few samples.

/// The middle of the samples; of an even number, the mean of the two in the middle. `None` of none.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let high = *sorted.get(sorted.len() / 2)?;
    let low = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(low, high))
}

/// How far the samples lie from each other: (greatest - least) / median, as a part of 1.
pub(crate) fn spread(samples: &[f64]) -> Option<f64> {
    let middle = median(samples)?;
    let least = samples.iter().copied().reduce(f64::min)?;
    let greatest = samples.iter().copied().reduce(f64::max)?;
    (middle > 0.0).then_some((greatest - least) / middle)
}

/// The median of the ratios, run by run: what disturbed both of a run does not count.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .filter(|&(_, &their)| their > 0.0)
        .map(|(our, their)| our / their)
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_what_is_around_it() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(spread(&[1.0, 2.0, 3.0]), Some(1.0));
    }

    #[test]
    fn a_slow_run_of_both_is_no_difference() {
        assert_eq!(ratio(&[1.0, 10.0, 1.0], &[2.0, 20.0, 2.0]), Some(0.5));
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }
}
