//! Draws what `scripts/chart` has measured: the tables and the chart of the README, and all figures in `docs/figures.md`.
//!
//! `cargo bench --bench chart -- --from FOLDER` takes what the benchmarks wrote with `--json`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod drawing;
mod measured;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use measured::Measured;

const BEGIN: &str = "<!-- figures: written by scripts/chart -->\n";
const END: &str = "<!-- /figures -->\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut from, mut to) = (None, PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--from" => from = arguments.next(),
            "--to" => to = arguments.next().map(PathBuf::from).unwrap_or(to),
            _ => {}
        }
    }
    let Some(from) = from else {
        // A runner that asks for names wants no other line.
        if !std::env::args().any(|argument| argument == "--list") {
            println!("== chart: nothing to draw; scripts/chart measures and draws");
        }
        return;
    };
    let measured = Measured::read(Path::new(&from));
    fs::create_dir_all(to.join("docs")).unwrap();
    let svg = to.join("docs/figures.svg");
    drawing::cases(&measured, &svg);
    println!("written: {}", svg.display());
    write(&to.join("docs/figures.md"), &tables::all(&measured));
    let readme = to.join("README.md");
    let text = fs::read_to_string(&readme).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the README has the mark where the figures begin");
    let (_, after) = rest.split_once(END).expect("the README has the mark where the figures end");
    write(&readme, &format!("{before}{BEGIN}{}{END}{after}", tables::readme(&measured)));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("written: {}", path.display());
}
