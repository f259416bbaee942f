//! Which rows are used and which are held out.

use crate::error::{Problem, Problems, Result};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Rows by their use, each list in the order of the rows.
pub(crate) struct Split {
    /// Those that train, or steer a search.
    pub(crate) training: Vec<usize>,
    /// Those that are held out.
    pub(crate) validation: Vec<usize>,
}

/// Rows by class, from the class of each row.
pub(crate) fn by_class(labels: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(row, &class)| groups[class].push(row));
    groups
}

/// Holds a share of the rows out, of each group by itself. Where groups `are_classes`, `missing` allows classes with too few rows for both uses. The same groups, share and random numbers give the same rows, whoever
/// asks.
pub(crate) fn split(
    (groups, are_classes): (Vec<Vec<usize>>, bool),
    share: f64,
    missing: bool,
    rng: &mut ChaCha8Rng,
) -> Result<Split> {
    let mut problems = Problems::default();
    let mut split = Split { training: Vec::new(), validation: Vec::new() };
    for (class, mut rows) in groups.into_iter().enumerate() {
        let place = if are_classes { format!("class {class}") } else { "data".to_owned() };
        if rows.len() < 2 && missing && are_classes {
            split.training.extend(rows);
            continue;
        }
        if rows.len() < 2 {
            let reason = format!("has {} row(s): one has to be used and another to be held out", rows.len());
            problems.push(
                Problem::new(place, reason).help("give rows of every class of the model, or allow missing classes"),
            );
            continue;
        }
        rows.shuffle(rng);
        let held = ((rows.len() as f64 * share).round() as usize).clamp(1, rows.len() - 1);
        split.validation.extend(&rows[..held]);
        split.training.extend(&rows[held..]);
    }
    split.training.sort_unstable();
    split.validation.sort_unstable();
    if problems.is_empty() && split.validation.is_empty() {
        problems.push(Problem::new("data", "no class has two rows: none is left to choose by").help("give more rows"));
    }
    problems.finish(split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn every_class_is_on_both_sides_and_no_row_is() {
        let labels: Vec<usize> = (0..103).map(|k| if k % 51 == 0 { 2 } else { k % 2 }).collect();
        let groups = || (by_class(&labels, 3), true);
        let of = |seed| split(groups(), 0.2, false, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let found = of(1);
        let mut all: Vec<usize> = found.training.iter().chain(&found.validation).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        for class in 0..3 {
            let count = |rows: &[usize]| rows.iter().filter(|&&r| labels[r] == class).count();
            let (training, validation) = (count(&found.training), count(&found.validation));
            let share = validation as f64 / (training + validation) as f64;
            assert!(training > 0 && (share - 0.2).abs() < 0.14, "class {class}: {training} and {validation}");
        }
        assert_eq!(found.validation, of(1).validation);
        assert_ne!(found.validation, of(2).validation);
    }
}
