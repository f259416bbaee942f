//! Peers from the registries, measured now: each becomes a crate that implements `tinymlp::Model`, which is built into a
//! board's own firmware, so that harness, emulator, meter and compiler are those of our rows.
//!
//! Whether a peer's outputs are right is judged, never assumed: [`judge`] compares them with the labels, and with what
//! the same model is known to answer. What does not work is a row that says why; symbols of panics or software floating
//! point in a peer's firmware are its own business.

mod emlearn;
mod judge;
mod microflow;
mod package;

use crate::artifact::{Artifact, Element, Field};
use crate::bench::models::{Model, Source};
use crate::bench::row::{Figures, Row};
use crate::board::Board;
use crate::emulate::{self, Options};
use crate::error::{Context, Error, Result};
use crate::firmware::Opt;
use crate::workspace;
use judge::Reference;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An implementation that can be measured.
struct Peer {
    /// Name and version.
    name: &'static str,
    /// What it is written in and whether it computes in int8 or float.
    description: &'static str,
    /// Makes its crate for a model.
    network: fn(&Case) -> Result<Network>,
}

/// The peers.
const ALL: [Peer; 2] = [microflow::PEER, emlearn::PEER];

/// What a peer is to run.
struct Case<'a> {
    model: &'a Model,
    board: &'a Board,
    /// Known answers.
    reference: &'a Reference,
    /// An empty folder for the crate.
    folder: &'a Path,
}

/// A network as a peer builds it. The crate, called `peer`, lies in the case's folder and exports
/// `Peer: tinymlp::Model`.
struct Network {
    /// The bytes of its inputs, row after row.
    inputs: Vec<u8>,
    /// Size of its input type.
    input_bytes: usize,
    /// Size of its output type.
    output_bytes: usize,
    /// What the bytes of an output say.
    answer: fn(&[u8]) -> Answer,
    /// What the same int8 model answers elsewhere, where that is known.
    expected: Option<Expected>,
}

/// What a network answers to a row.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Class(i32),
    Values(Vec<f32>),
}

/// What another implementation of the same int8 model answers.
struct Expected {
    who: &'static str,
    /// Row after row.
    outputs: Vec<Vec<f32>>,
}

/// An error that says what is missing to build the peers for these boards, and what to type.
pub fn require(boards: &[Board]) -> Result<()> {
    let missing = emlearn::missing(boards);
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(Error::new(format!("--peers needs what is not installed:\n  {}", missing.join("\n  ")))),
    }
}

/// Measures all peers on one of the benchmark models.
pub fn measure(boards: &[Board], model: &Model, macs: u64, limit: Option<usize>) -> Result<Vec<Row>> {
    // The shipped models have no int8 form that a peer could read, and are of the same shapes.
    if matches!(model.source, Source::Shipped(_)) {
        return Ok(Vec::new());
    }
    let reference = Reference::new(model, limit)?;
    let mut rows = Vec::new();
    for board in boards {
        for peer in &ALL {
            let mut row = Row::of_peer(board, model, peer.name, macs);
            eprintln!("Running {} rows of {} ({})", reference.rows(), row.title(), peer.description);
            match run(peer, board, model, &reference, macs) {
                Ok((figures, note)) => (row.figures, row.note) = (Some(figures), Some(note)),
                Err(error) => row.note = Some(first_lines(&error)),
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

fn run(peer: &Peer, board: &Board, model: &Model, reference: &Reference, macs: u64) -> Result<(Figures, String)> {
    let folder = peer_folder(peer, board).join("peer");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
    let network = (peer.network)(&Case { model, board, reference, folder: &folder })?;
    let rows = reference.rows();
    let array = |count| vec![Field { name: None, offset: 0, count, element: Element::I8 }];
    let artifact = Artifact {
        module: package::module(&folder)?,
        rows,
        inputs: network.inputs,
        // There is no host simulation of a peer: its outputs are judged below.
        outputs: vec![0; rows * network.output_bytes],
        // Arrays of bytes: nothing in them is aligned.
        input_type: array(network.input_bytes),
        output_type: array(network.output_bytes),
        evaluation: None,
        predicted: None,
        texts: None,
    };
    let board = package::with_peer(board, &folder)?;
    let report = emulate::run(&board, &artifact, Options { opt: Opt::Speed, limit: Duration::from_secs(600) })?;
    let answers: Vec<_> = report.outputs.chunks_exact(network.output_bytes).map(network.answer).collect();
    let (quality, note) = reference.judge(&answers, network.expected.as_ref());
    Ok((Figures::new(&report, macs, quality), note))
}

/// Where a peer's crate and its firmware for a board are made.
fn peer_folder(peer: &Peer, board: &Board) -> PathBuf {
    let name = peer.name.split([' ', ',']).next().unwrap_or_default();
    workspace::target().join("bench/peers").join(name).join(&board.name)
}

/// What of an error fits under a table.
fn first_lines(error: &Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.find(|line| line.contains("error")) {
        Some(cause) if first.ends_with(':') => format!("{first} {cause}"),
        _ => first.to_owned(),
    }
}

/// The crate's files.
fn write(folder: &Path, files: &[(&str, String)]) -> Result<()> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).context(|| format!("cannot create {}", parent.display()))?;
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The crate's manifest with these dependencies beside `tinymlp`.
fn manifest(dependencies: &str) -> String {
    format!(
        "[package]\nname = \"peer\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}\
         tinymlp = {{ path = {:?} }}\n\n[workspace]\n",
        workspace::root().join("runtime")
    )
}

/// The little-endian floats in these bytes.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_a_line() {
        let text = |text: &str| first_lines(&Error::new(text));
        assert_eq!(text("it does not fit\n(files: x)"), "it does not fit");
        assert_eq!(text("does not build:\nwarning: a\nerror: b\n"), "does not build: error: b");
    }
}
