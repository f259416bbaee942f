//! `tinymlp features`.

use super::out::outln;
use std::path::PathBuf;
use tinymlp_codegen::data;
use tinymlp_codegen::text::features::{column, read};
use tinymlp_codegen::text::{FrontEnd, Split, Tokens, Vocabulary};
use tinymlp_codegen::{Problem, Result};

/// Arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// A text a line, in a column of a table with tabs between columns (.tsv, .txt; .gz is unpacked).
    texts: PathBuf,
    /// The column, counted from 1.
    #[arg(long, default_value_t = 1, value_name = "N")]
    column: usize,
    /// Words that the network has a place for.
    #[arg(long, value_name = "N")]
    positions: usize,
    /// Hash functions of a fingerprint.
    #[arg(long, default_value_t = 64, value_name = "N")]
    hashes: usize,
    /// Counters of a counting Bloom filter.
    #[arg(long, default_value_t = 1024, value_name = "N")]
    buckets: u16,
    /// Words end at spaces only: the text comes as tokens.
    #[arg(long)]
    tokens: bool,
    /// Case and accents matter.
    #[arg(long)]
    cased: bool,
    /// A vocabulary of WordPiece, a piece a line (.txt; .gz is unpacked): words are made of pieces.
    #[arg(long, value_name = "FILE")]
    vocabulary: Option<PathBuf>,
    /// Where to write them: buckets by text, position and hash function, the number of buckets where there is no word.
    #[arg(long, value_name = "FILE.npy")]
    output: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let tokens = match &options.vocabulary {
        Some(file) => Tokens::Pieces(Vocabulary::load(file, false)?),
        None => Tokens::Words,
    };
    if let Tokens::Pieces(vocabulary) = &tokens {
        outln!("the vocabulary takes {} bytes of flash", vocabulary.bytes());
    }
    let front_end = FrontEnd {
        tokens,
        split: if options.tokens { Split::Spaces } else { Split::Punctuation },
        cased: options.cased,
        hashes: options.hashes,
        buckets: options.buckets,
        positions: options.positions,
    };
    let table = read(&options.texts)?;
    let texts = column(&table, options.column, &options.texts)?;
    let found = front_end.features(texts.iter().map(|t| t.as_bytes()))?;
    let bytes = data::write_npy_u16(&[texts.len(), options.positions, options.hashes], &found.buckets);
    std::fs::write(&options.output, bytes)
        .map_err(|e| Problem::new(options.output.display().to_string(), format!("cannot be written: {e}")))?;
    let cut = found.words.iter().filter(|&&words| words > options.positions).count();
    let longest = found.words.iter().max().unwrap_or(&0);
    outln!("{} texts, {cut} of them cut; the longest has {longest} words", texts.len());
    Ok(())
}
