//! The example package `tests/build-script`, whose build script compiles a network: it builds, answers, knows when to
//! build again, says what is wrong, and compiles nothing of the command line.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tinymlp_tests::models::here;
use tinymlp_tests::project::{cargo, succeed, text};

/// A copy of the example and of its model, in the same places to each other, so that both can be changed.
struct Example {
    folder: PathBuf,
    target: PathBuf,
}

impl Example {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build-script-example");
        if root.exists() {
            std::fs::remove_dir_all(&root).expect("the former copy is removed");
        }
        for (from, to) in [
            ("build-script/build.rs", "build-script/build.rs"),
            ("build-script/src/main.rs", "build-script/src/main.rs"),
            ("models/digits/model.onnx", "models/digits/model.onnx"),
            ("models/digits/calibration.npy", "models/digits/calibration.npy"),
            ("../Cargo.lock", "build-script/Cargo.lock"),
        ] {
            let to = root.join(to);
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            std::fs::copy(here(from), to).unwrap_or_else(|e| panic!("{from}: {e}"));
        }
        let mut manifest = std::fs::read_to_string(here("build-script/Cargo.toml")).expect("a manifest");
        for crate_folder in ["runtime", "codegen"] {
            let relative = format!("\"../../{crate_folder}\"");
            assert!(manifest.contains(&relative));
            manifest = manifest.replace(&relative, &format!("{:?}", here("..").join(crate_folder)));
        }
        let folder = root.join("build-script");
        std::fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
        Self { folder, target: root.join("target") }
    }

    fn cargo(&self, arguments: &[&str]) -> std::process::Command {
        cargo(&self.folder, &self.target, arguments)
    }

    /// The generated module and when it was written.
    fn module(&self) -> (String, std::time::SystemTime) {
        let builds = std::fs::read_dir(self.target.join("debug/build")).expect("build folders");
        let mut modules = builds.map(|b| b.expect("an entry").path().join("out/digits.rs")).filter(|p| p.exists());
        let module = modules.next().expect("a module");
        assert_eq!(modules.next(), None);
        let time = module.metadata().and_then(|m| m.modified()).expect("a time");
        (std::fs::read_to_string(module).expect("text"), time)
    }
}

#[test]
fn a_build_script_compiles_the_network() {
    let example = Example::new();
    let start = Instant::now();
    succeed(&mut example.cargo(&["build", "--quiet"]));
    println!("clean build with all dependencies: {:.1} s", start.elapsed().as_secs_f64());
    let answer = succeed(&mut example.cargo(&["run", "--quiet"]));
    assert!(answer.contains("\na 7 (logit "), "{answer}");

    // Nothing of the command line is compiled for it.
    let tree = succeed(&mut example.cargo(&["tree", "--edges", "normal,build", "--prefix", "none"]));
    assert!(tree.contains("tinymlp-codegen"), "{tree}");
    for dependency in ["clap", "indicatif", "comfy-table", "tract"] {
        assert!(!tree.contains(dependency), "{dependency} in\n{tree}");
    }

    // A build with nothing new leaves the module alone, one with another model or other calibration data does not.
    let first = example.module();
    succeed(&mut example.cargo(&["build", "--quiet"]));
    assert_eq!(first, example.module());
    let model = example.folder.join("../models/digits/model.onnx");
    let mut bytes = std::fs::read(&model).expect("the model");
    // An empty name of the producer more: another file, the same network.
    bytes.extend([0x12, 0]);
    std::fs::write(&model, &bytes).expect("the model");
    succeed(&mut example.cargo(&["build", "--quiet"]));
    let second = example.module();
    assert_ne!(first.0, second.0, "the hash in the header");
    let calibration = example.folder.join("../models/digits/calibration.npy");
    let rows = std::fs::read(&calibration).expect("rows");
    let (header, data) = rows.split_at(128);
    // The same rows, but for their order of magnitude.
    let halves = data.as_chunks().0.iter().flat_map(|&b| (f32::from_le_bytes(b) / 2.0).to_le_bytes());
    std::fs::write(&calibration, header.iter().copied().chain(halves).collect::<Vec<u8>>()).expect("rows");
    succeed(&mut example.cargo(&["build", "--quiet"]));
    assert_ne!(second.0, example.module().0, "the ranges");

    // What is wrong is said as the command says it.
    std::fs::write(&model, &bytes[..1000]).expect("the model");
    let failed = example.cargo(&["build", "--quiet"]).output().expect("it runs");
    let message = text(&failed);
    assert!(!failed.status.success(), "{message}");
    assert!(message.contains("model.onnx: model: ") && message.contains("\n      help: "), "{message}");
    assert!(!message.contains("Problem {"), "{message}");
}
