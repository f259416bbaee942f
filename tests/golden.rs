//! Golden vectors that a module carries: it passes its own self-test, and one that computes something else does not.

use std::path::Path;
use std::process::Command;

use tinymlp_tests::models::here;
use tinymlp_tests::project::{Project, succeed};

/// Several inputs, several outputs, nested arrays, a scalar.
const MODELS: [&str; 4] =
    ["torch_kernels_ts", "torch_concat_inputs_ts", "torch_mlp_3d_ts", "tfkeras_two_inputs_two_outputs"];

#[test]
fn modules_check_themselves() {
    let project = Project::new(env!("CARGO_TARGET_TMPDIR"), "golden", "");
    let (mut main, mut files) = (String::new(), Vec::new());
    let mut calls = String::new();
    for (k, name) in MODELS.iter().enumerate() {
        let file = |end: &str| here("models/exporters").join(format!("{name}.{end}"));
        let inputs = ["input.npy", "input.npz"].map(file).into_iter().find(|path| path.exists()).expect("inputs");
        let builder = tinymlp_codegen::Builder::new(file("onnx")).calibration(inputs).allow_constant_columns();
        let compiled = builder.name(format!("m{k}")).golden(3).compile().expect("a module");
        for (file, content) in &compiled.module.files {
            project.write(&format!("src/{file}"), content);
        }
        // The same module with one expected number changed.
        let text = String::from_utf8(compiled.module.files[0].1.clone()).expect("text");
        let (before, vectors) = text.split_once("pub static GOLDEN_OUTPUTS").expect("outputs");
        let (head, values) = vectors.split_once(" = ").expect("a value");
        let digit = values.find(|c: char| c.is_ascii_digit()).expect("a number");
        let end = digit + values[digit..].find(|c: char| !c.is_ascii_digit()).expect("its end");
        let number: i32 = values[digit..end].parse().expect("a number");
        let wrong = if number == 0 { 1 } else { number - 1 };
        let changed =
            format!("{before}pub static GOLDEN_OUTPUTS{head} = {}{wrong}{}", &values[..digit], &values[end..]);
        project.write(&format!("src/wrong{k}.rs"), changed);
        main.push_str(&format!("mod m{k};\nmod wrong{k};\n"));
        for module in ["m", "wrong"] {
            calls.push_str(&format!(
                "    println!(\"{{:?}}\", {module}{k}::self_test(&mut tinymlp::Scratch::NEW).map_err(|d| (d.vector, d.element)));\n"
            ));
        }
        files.push(format!("src/m{k}.rs"));
    }
    project.write("src/main.rs", format!("{main}\nfn main() {{\n{calls}}}\n"));
    let printed = project.run(&[]);
    let expected = "Ok(())\nErr((0, 0))\n".repeat(MODELS.len());
    assert_eq!(printed, expected);
    let mut rustfmt = Command::new("rustfmt");
    succeed(rustfmt.current_dir(Path::new(&project.folder)).args(["--check", "--edition", "2024"]).args(&files));
}
