//! The result as Markdown.

use super::Record;
use super::sets::{self, Set};
use super::trial::{BUDGETS, CORES, Design, Measured, OBJECTIVES, Trial, name};
use crate::bench::grouped;
use std::fmt::Write;

/// Accuracy and full adders of all sets, then what they take on each core.
pub fn markdown(record: &Record) -> String {
    let release = record.rustc.split(' ').nth(1).unwrap_or(&record.rustc);
    let seeds = record.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "Measured by `cargo xtask paper --update-page` with rustc {release}; seeds {seeds}, rows told apart by `{}`.\n",
        record.split
    );
    let sets: Vec<(&Set, Vec<&Trial>)> = sets::ALL
        .iter()
        .map(|set| (set, record.trials.iter().filter(|trial| trial.set == set.name).collect::<Vec<_>>()))
        .filter(|(_, trials)| !trials.is_empty())
        .collect();
    accuracies(&mut text, &sets);
    adders(&mut text, &sets);
    CORES.iter().for_each(|core| board(&mut text, &sets, core));
    text
}

/// `int8`, `power of two` and the budgets of searches by some objectives.
fn names(objectives: &[(&str, &str)]) -> Vec<String> {
    let budgets = objectives.iter().flat_map(|&objective| BUDGETS.map(|drop| name(drop, objective)));
    ["int8", "power of two"].map(String::from).into_iter().chain(budgets).collect()
}

fn named<'t>(trial: &'t Trial, name: &str) -> Option<&'t Design> {
    trial.designs.iter().find(|design| design.name == name)
}

/// Mean and standard deviation.
fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, square.sqrt())
}

fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms = values.iter().map(|v| v.ln()).sum::<f64>();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

fn head(text: &mut String, title: &str, columns: &[&str]) {
    let _ = write!(text, "\n**{title}**\n\n|");
    columns.iter().for_each(|column| {
        let _ = write!(text, " {column} |");
    });
    let _ = writeln!(text, "\n|{}", " --- |".repeat(columns.len()));
}

fn line(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn accuracies(text: &mut String, sets: &[(&Set, Vec<&Trial>)]) {
    let names = names(&OBJECTIVES);
    let mut columns = vec!["set", "network", "authors' design", "float"];
    columns.extend(names.iter().map(String::as_str));
    head(text, "Accuracy on the test rows in %, mean over the seeds ± standard deviation", &columns);
    let percent = |values: Vec<f64>, missed: usize| {
        let (mean, deviation) = spread(&values);
        let note = if missed > 0 { format!(" ({missed} of {} above the budget)", values.len()) } else { String::new() };
        format!("{:.1} ± {:.1}{note}", 100.0 * mean, 100.0 * deviation)
    };
    for (set, trials) in sets {
        let mark = if set.authors_split { " (their split)" } else { "" };
        let released = set.released.map_or("-".into(), |accuracy| format!("{:.1}{mark}", 100.0 * accuracy));
        let mut cells = vec![set.title.to_owned(), set.shape(), released];
        cells.push(percent(trials.iter().map(|trial| trial.float_accuracy).collect(), 0));
        for name in &names {
            let designs: Vec<&Design> = trials.iter().filter_map(|trial| named(trial, name)).collect();
            let missed = designs.iter().filter(|design| design.missed).count();
            cells.push(percent(designs.iter().map(|design| design.accuracy).collect(), missed));
        }
        line(text, &cells);
    }
}

/// Full adders as the printed networks are counted. The exact network's are those by signed digits where these are fewer.
fn adders(text: &mut String, sets: &[(&Set, Vec<&Trial>)]) {
    let names = names(&OBJECTIVES[..1]);
    let mut columns = vec!["set"];
    columns.extend(names.iter().map(String::as_str));
    columns.push("int8 / 1 %");
    head(text, "Full adders, mean over the seeds; int8 with inputs of 4 bits", &columns);
    let least = |design: &Design| design.adders.min(design.adders_signed) as f64;
    let mut all = Vec::new();
    for (set, trials) in sets {
        let mean = |name: &str| spread(&trials.iter().filter_map(|t| named(t, name)).map(least).collect::<Vec<_>>()).0;
        let mut cells = vec![set.title.to_owned()];
        cells.extend(names.iter().map(|name| grouped(mean(name).round() as u64)));
        let ratio = |trial: &&Trial| Some(least(named(trial, &names[0])?) / least(named(trial, &names[2])?).max(1.0));
        let ratios: Vec<f64> = trials.iter().filter_map(ratio).collect();
        let ratio = geometric_mean(&ratios).unwrap_or(f64::NAN);
        all.push(ratio);
        cells.push(format!("{ratio:.1}"));
        line(text, &cells);
    }
    let mut cells = vec!["geometric mean".to_owned()];
    cells.extend(names.iter().map(|_| String::new()));
    cells.push(geometric_mean(&all).map_or("-".into(), |ratio| format!("{ratio:.1}")));
    line(text, &cells);
}

/// What networks take on a core; as shares of int8, in the geometric mean over the sets.
fn board(text: &mut String, sets: &[(&Set, Vec<&Trial>)], core: &str) {
    let names = names(&OBJECTIVES[1..]);
    let on_core = |trial: &Trial, name: &str| -> Option<Measured> {
        named(trial, name)?.boards.iter().find(|measured| measured.core == core).cloned()
    };
    let measured: Vec<(&Set, &Trial)> = sets
        .iter()
        .filter_map(|(set, trials)| {
            let trial = trials.iter().find(|trial| on_core(trial, &names[0]).is_some())?;
            Some((*set, *trial))
        })
        .collect();
    let Some((_, first)) = measured.first() else { return };
    let mut columns = vec!["set"];
    columns.extend(names.iter().map(String::as_str));
    let title = format!("{core}: instructions, bytes of flash, bytes of RAM with stack; seed {}", first.seed);
    head(text, &title, &columns);
    for (set, trial) in &measured {
        let mut cells = vec![set.title.to_owned()];
        for name in &names {
            let too_big = named(trial, name).is_some_and(|design| design.too_big.iter().any(|other| other == core));
            let missing = if too_big { "does not fit" } else { "-" };
            cells.push(on_core(trial, name).map_or(missing.into(), |found| {
                let [instructions, flash, ram] = found.figures().map(|figure| grouped(figure.round().max(0.0) as u64));
                let mark = if found.straight_line { "" } else { " (tables)" };
                format!("{instructions}, {flash}, {ram}{mark}")
            }));
        }
        line(text, &cells);
    }
    let mut cells = vec!["share of int8, geometric mean".to_owned(), String::new()];
    for name in &names[1..] {
        let shares = [0, 1, 2].map(|k| {
            let share = |(_, trial): &(&Set, &Trial)| {
                let (ours, exact) = (on_core(trial, name)?.figures()[k], on_core(trial, &names[0])?.figures()[k]);
                Some(ours.max(1.0) / exact.max(1.0))
            };
            geometric_mean(&measured.iter().filter_map(share).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        });
        cells.push(shares.map(|share| format!("{:.0} %", 100.0 * share)).join(", "));
    }
    line(text, &cells);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_those_of_a_sample() {
        assert_eq!(spread(&[1.0, 3.0]), (2.0, 2f64.sqrt()));
        assert_eq!(spread(&[2.0]), (2.0, 0.0));
    }

    #[test]
    fn tables_compare_with_int8() {
        let design = |name: &str, adders, instructions| Design {
            name: name.into(),
            missed: name == "2 %, printed",
            point: None,
            accuracy: 0.9,
            adders,
            adders_signed: adders + 1,
            boards: vec![Measured {
                core: "rv32ec".into(),
                straight_line: name != "int8",
                instructions,
                flash_bytes: 1000,
                ram_bytes: 40,
            }],
            too_big: Vec::new(),
        };
        let names = names(&OBJECTIVES);
        let designs = names.iter().enumerate().map(|(k, name)| design(name, 600 / (k + 1), 400.0 / (k + 1) as f64));
        let trial = |seed| Trial {
            set: "seeds".into(),
            seed,
            training_rows: 2,
            test_rows: 1,
            float_accuracy: if seed == 1 { 0.8 } else { 0.9 },
            designs: designs.clone().collect(),
        };
        let record = Record {
            rustc: "rustc 1.95.0 (x)".into(),
            split: "split42".into(),
            seeds: vec![1, 2],
            search: String::new(),
            rows: 1,
            trials: vec![trial(1), trial(2)],
        };
        let mut deep = record.clone();
        let powers = &mut deep.trials[0].designs[1];
        (powers.boards, powers.too_big) = (Vec::new(), vec!["rv32ec".into()]);
        let text = markdown(&deep);
        assert!(text.contains("| seeds | 400, 1,000, 40 (tables) | does not fit | 67,"), "{text}");
        let text = markdown(&record);
        assert!(text.contains("| seeds | 7-3-3 | - | 85.0 ± 7.1 | 90.0 ± 0.0 |"), "{text}");
        assert!(text.contains("90.0 ± 0.0 (2 of 2 above the budget)"), "{text}");
        assert!(text.contains("| seeds | 600 | 300 | 200 | 150 | 120 | 3.0 |"), "{text}");
        assert!(text.contains("| seeds | 400, 1,000, 40 (tables) | 200, 1,000, 40 | 67,"), "{text}");
        assert!(text.contains("| 50 %, 100 %, 100 % | 17 %, 100 %, 100 % |"), "{text}");
        assert!(!text.contains("cortex-m0:"), "{text}");
    }
}
