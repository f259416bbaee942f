//! The predicted cost of a model, as text.

use super::table::{self, thousands};
use comfy_table::Table;
use tinymlp_codegen::report::Report;

/// Layer by layer.
pub(super) fn table(report: &Report) -> Table {
    let rows = report.layers.iter().map(|layer| {
        let mut row = vec![layer.name.clone(), format!("{}{}", layer.kernel, portable(layer.predicted.as_ref()))];
        let bytes = layer.flash_bytes as u64;
        match &layer.predicted {
            Some(cost) => row.extend(
                [
                    cost.instructions_mean.round() as u64,
                    cost.instructions_max,
                    bytes,
                    cost.code_bytes as u64,
                    cost.ram_bytes as u64,
                    cost.stack_bytes as u64,
                ]
                .map(thousands),
            ),
            None => row.extend(["-".into(), "-".into(), thousands(bytes), "-".into(), "-".into(), "-".into()]),
        }
        row
    });
    let header = ["layer", "kernel", "instructions", "at most", "constants [B]", "code [B]", "RAM [B]", "stack [B]"];
    table::table(&header, &[2, 3, 4, 5, 6, 7], rows)
}

fn portable(cost: Option<&tinymlp_codegen::report::LayerCost>) -> &'static str {
    if cost.is_some_and(|cost| cost.counted) { "" } else { " (portable)" }
}

/// The totals, and what the figures rest on.
pub(super) fn totals(report: &Report) -> Vec<String> {
    let Some(total) = &report.predicted else {
        return vec!["portable kernels run on any core, and no prediction is made for none in particular".into()];
    };
    let constant_time = if total.constant_time { ", constant time" } else { "" };
    let mut lines = vec![
        format!("predicted for {} ({}{constant_time}):", total.target, total.mode),
        format!(
            "{} instructions in the mean over the calibration data, at most {} for any input",
            thousands(total.instructions_mean.round() as u64),
            thousands(total.instructions_max)
        ),
        format!(
            "{} bytes of flash: {} of constants, {} of code",
            thousands(total.flash_bytes as u64),
            thousands(report.flash_bytes as u64),
            thousands((total.flash_bytes - report.flash_bytes) as u64)
        ),
        format!(
            "{} bytes of RAM: {} of scratch and constants, {} of stack",
            thousands((total.ram_bytes + total.stack_bytes) as u64),
            thousands(total.ram_bytes as u64),
            thousands(total.stack_bytes as u64)
        ),
    ];
    if total.data_independent {
        lines.push("the time of an inference is the same whatever the input".into());
    }
    let estimated = report.layers.iter().filter(|l| l.predicted.as_ref().is_some_and(|cost| !cost.counted)).count();
    if estimated > 0 {
        lines.push(format!(
            "portable kernels are the compiler's: their figures ({estimated} of the steps) are estimates, their most a guess"
        ));
    }
    lines
}
