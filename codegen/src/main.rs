//! The `tinymlp` command.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(cli::Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let problems = error.problems();
            for problem in problems {
                eprintln!("error: {problem}");
            }
            if problems.len() > 1 {
                eprintln!("{} problems found; nothing was written", problems.len());
            }
            ExitCode::FAILURE
        }
    }
}
