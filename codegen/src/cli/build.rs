//! `tinymlp build`.

use super::out::outln;
use super::table::{table, thousands};
use super::{Quantization, cost};
use std::path::PathBuf;
use tinymlp_codegen::Result;
use tinymlp_codegen::report::Report;

/// Arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    quantization: Quantization,
    /// Folder for the module and report.json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let compiled = options.quantization.builder().compile()?;
    let module = compiled.write(&options.out)?;
    print(&compiled.report);
    outln!("wrote {} and {}", module.display(), options.out.join("report.json").display());
    Ok(())
}

fn print(report: &Report) {
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    outln!("{}: {}", report.model, report.quantization);
    let rows = report.layers.iter().map(|l| {
        vec![
            l.name.clone(),
            l.op.clone(),
            format!("{:?} {}", l.shape, l.ty),
            thousands(l.macs),
            thousands(l.flash_bytes as u64),
            l.sqnr_db.map_or("-".into(), |db| format!("{db:.1}")),
            format!("{:.1}", l.saturated_percent),
            l.accumulator_bound.map_or("-".into(), |b| format!("{}", 64 - b.leading_zeros())),
        ]
    });
    let header = [
        "layer",
        "operator",
        "result",
        "MACs",
        "constants [B]",
        "SQNR [dB]",
        "saturated [%]",
        "accumulator [bits of 31]",
    ];
    outln!("{}", table(&header, &[3, 4, 5, 6, 7], rows));
    outln!(
        "{} MACs, {} bytes of constants, {} bytes of scratch",
        thousands(report.macs),
        thousands(report.flash_bytes as u64),
        thousands(report.ram_bytes as u64)
    );
    if report.predicted.is_some() {
        outln!("{}", cost::table(report));
        cost::totals(report).iter().for_each(|line| outln!("{line}"));
    }
}
