//! A program of many generated modules that runs each on rows of bytes.

use std::fmt::Write;

use tinymlp_codegen::Compiled;
use tinymlp_codegen::emit::Module;
use tinymlp_codegen::plan::kernels::Buffer;

use crate::project::Project;

/// What every program begins with: numbers from and to bytes, and the loop over the rows.
const PRELUDE: &str = r#"#![deny(warnings)]
#![allow(clippy::large_stack_arrays)]

use tinymlp::{Model, Scratch};

trait Bytes: Sized {
    fn take(bytes: &mut &[u8]) -> Self;
    fn put(&self, bytes: &mut Vec<u8>);
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Bytes for $t {
            fn take(bytes: &mut &[u8]) -> Self {
                let (head, rest) = bytes.split_first_chunk().expect("a whole number");
                *bytes = rest;
                <$t>::from_le_bytes(*head)
            }
            fn put(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    )*};
}
integers!(i8, i16, u16, i32, u32, f32);

impl<T: Bytes, const N: usize> Bytes for [T; N] {
    fn take(bytes: &mut &[u8]) -> Self {
        core::array::from_fn(|_| T::take(bytes))
    }
    fn put(&self, bytes: &mut Vec<u8>) {
        self.iter().for_each(|v| v.put(bytes));
    }
}

#[cfg(feature = "fixed")]
mod fixed_point {
    use super::Bytes;
    macro_rules! fixed {
        ($($t:ident),*) => {$(
            impl<F> Bytes for tinymlp::fixed::$t<F> {
                fn take(bytes: &mut &[u8]) -> Self {
                    Self::from_bits(Bytes::take(bytes))
                }
                fn put(&self, bytes: &mut Vec<u8>) {
                    self.to_bits().put(bytes);
                }
            }
        )*};
    }
    fixed!(FixedI8, FixedI16, FixedI32);
}

/// What fills outputs and scratch before they are written.
static POISON: [u8; 1 << 16] = [0xa5; 1 << 16];

fn blank<T: Bytes>() -> T {
    T::take(&mut &POISON[..])
}

/// All rows in order, then all in reverse, each after whatever the rows before left in the scratch memory.
fn run<M: Model>(
    mut bytes: &[u8],
    read: fn(&mut &[u8]) -> M::Input,
    new: fn() -> M::Output,
    write: fn(&M::Input, &M::Output, &mut Vec<u8>),
) -> Vec<u8> {
    let mut results = Vec::new();
    let size = u32::try_from(size_of::<M::Scratch>()).expect("a size");
    [size, M::INFO.scratch_bytes, M::INFO.constant_bytes, M::INFO.macs].put(&mut results);
    let mut inputs = Vec::new();
    while !bytes.is_empty() {
        inputs.push(read(&mut bytes));
    }
    let mut scratch = M::Scratch::NEW;
    // SAFETY: a scratch memory is an array of bytes, for which any bytes are valid.
    unsafe { core::ptr::write_bytes(&mut scratch, 0xa5, 1) };
    for input in inputs.iter().chain(inputs.iter().rev()) {
        let mut output = new();
        M::infer(input, &mut scratch, &mut output);
        write(input, &output, &mut results);
    }
    results
}

fn main() {
    let folder = std::env::args().nth(1).expect("the folder of the rows");
    for (k, case) in CASES.iter().enumerate() {
        let rows = std::fs::read(format!("{folder}/{k}.rows")).expect("the rows");
        std::fs::write(format!("{folder}/{k}.results"), case(&rows)).expect("the results");
    }
}

"#;

/// A program under construction.
#[derive(Debug)]
pub struct Program {
    /// Its project.
    pub project: Project,
    modules: String,
    cases: String,
    count: usize,
}

/// What one module did.
#[derive(Clone, Debug)]
pub struct Results {
    /// `size_of` its scratch type.
    pub scratch_size: u32,
    /// Of its `INFO`.
    pub scratch_bytes: u32,
    /// Of its `INFO`.
    pub constant_bytes: u32,
    /// Of its `INFO`.
    pub macs: u32,
    /// By row, in order and then in reverse: quantized inputs, quantized outputs, real outputs, one after the other.
    pub rows: Vec<u8>,
}

impl Program {
    /// A program without modules.
    pub fn new(project: Project) -> Self {
        Self { project, modules: String::new(), cases: String::new(), count: 0 }
    }

    /// Adds a module that is to run on `rows`: quantized inputs one after the other, or real ones where the module
    /// converts them (`real`).
    pub fn add(&mut self, module: &Module, real: bool, rows: &[u8]) {
        let k = self.count;
        self.count += 1;
        for (name, content) in &module.files {
            self.project.write(&format!("src/m{k}/{name}"), content);
        }
        self.project.write(&format!("data/{k}.rows"), rows);
        let text = text(module);
        let (name, model) = (&module.name, &module.type_name);
        let _ = writeln!(self.modules, "mod m{k} {{\n    include!(\"m{k}/{name}.rs\");\n}}");
        let fields = |ty: &str| fields(text, ty);
        let each = |ty: &str, value: &str| match fields(ty) {
            None => value.to_owned(),
            Some(fields) => {
                let fields: Vec<String> = fields.iter().map(|f| format!("{f}: {value}")).collect();
                format!("m{k}::{ty} {{ {} }}", fields.join(", "))
            }
        };
        let put = |ty: &str, variable: &str| match fields(ty) {
            None => format!("{variable}.put(b); "),
            Some(fields) => fields.iter().map(|f| format!("{variable}.{f}.put(b); ")).collect(),
        };
        let read = if real {
            let n = fields("Input").map_or(1, |f| f.len());
            let arguments = vec!["&Bytes::take(b)"; n].join(", ");
            format!("m{k}::quantize({arguments})")
        } else {
            each("Input", "Bytes::take(b)")
        };
        let mut write = put("Input", "x") + &put("Output", "y");
        for line in text.lines().filter(|_| real) {
            if let Some((function, _)) = line.strip_prefix("pub fn dequantize").and_then(|l| l.split_once('(')) {
                let _ = write!(write, "m{k}::dequantize{function}(y).put(b); ");
            }
        }
        let new = each("Output", "blank()");
        let _ = writeln!(self.cases, "    |r| run::<m{k}::{model}>(r, |b| {read}, || {new}, |x, y, b| {{ {write}}}),");
    }

    /// Writes, builds and runs the program; gives what each module did.
    ///
    /// # Panics
    /// If it does not compile without a warning, or fails.
    pub fn run(self) -> Vec<Results> {
        self.project.write("src/main.rs", self.main());
        self.project.run(&["data"]);
        (0..self.count)
            .map(|k| {
                let bytes = std::fs::read(self.project.folder.join(format!("data/{k}.results"))).expect("results");
                let (header, rows) = bytes.split_at(16);
                let word = |i: usize| u32::from_le_bytes(header[4 * i..4 * i + 4].try_into().expect("four bytes"));
                Results {
                    scratch_size: word(0),
                    scratch_bytes: word(1),
                    constant_bytes: word(2),
                    macs: word(3),
                    rows: rows.to_vec(),
                }
            })
            .collect()
    }

    /// The text of the program.
    pub fn main(&self) -> String {
        let Self { modules, cases, .. } = self;
        format!("{PRELUDE}{modules}\nstatic CASES: &[fn(&[u8]) -> Vec<u8>] = &[\n{cases}];\n")
    }
}

/// The text of a module.
///
/// # Panics
/// If it is not UTF-8.
pub fn text(module: &Module) -> &str {
    std::str::from_utf8(&module.files[0].1).expect("text")
}

/// Names of the fields of a struct in generated text; `None` where the type is no struct.
fn fields(text: &str, ty: &str) -> Option<Vec<String>> {
    let (_, body) = text.split_once(&format!("pub struct {ty} {{\n"))?;
    let (body, _) = body.split_once("\n}\n")?;
    let name = |line: &str| Some(line.trim().strip_prefix("pub ")?.split_once(':')?.0.to_owned());
    Some(body.lines().filter_map(name).collect())
}

/// The rows of a results file that [`Program::run`] should give: `row` gives the bytes of one.
pub fn there_and_back(rows: usize, mut row: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let rows: Vec<Vec<u8>> = (0..rows).map(&mut row).collect();
    rows.iter().chain(rows.iter().rev()).flatten().copied().collect()
}

/// Inputs and outputs of one inference of a simulator, as bytes.
pub fn simulated(
    compiled: &Compiled,
    simulator: &mut tinymlp_codegen::plan::simulate::Simulator,
    x: &[Buffer],
) -> Vec<u8> {
    simulator.run(x);
    let outputs = compiled.plan.outputs.iter().map(|o| simulator.value(o.value).bytes());
    x.iter().map(Buffer::bytes).chain(outputs).flatten().collect()
}
