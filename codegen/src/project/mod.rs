//! New firmware projects: a package that builds as it stands, for a board that `boards/boards.toml` describes.
//!
//! A project is a copy of the board's firmware package with another model; it depends on this checkout by path.

mod fit;
mod templates;
mod toolchain;

use crate::builder::write_all;
use crate::error::{Problem, Result};
use crate::import;
use crate::quantize::format::Format;
use crate::target::{Core, Mode};
use crate::{Builder, Compiled};
use serde::Deserialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A board with firmware to flash.
#[derive(Clone, Debug, Deserialize)]
pub struct Board {
    /// What commands call it.
    pub name: String,
    /// What people call it.
    pub description: String,
    /// Processor core.
    pub core: String,
    /// Rust target.
    pub target: String,
    library: Option<String>,
    linker: Option<Linker>,
    flash: Memory,
    ram: Memory,
    device: Option<String>,
    base: Option<Base>,
    #[serde(default)]
    flashed_by: Vec<String>,
    plug: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Memory {
    bytes: usize,
}

/// What the firmware takes without a network.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Base {
    flash: usize,
    ram: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct Linker {
    program: String,
    apt: String,
}

/// How the model of a project is compiled, where it is not as [`Builder`] does it by default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Format of the weights.
    pub weights: Option<Format>,
    /// Whether small or fast kernels come first.
    pub mode: Mode,
    /// Bits of the inputs.
    pub input_bits: Option<u32>,
    /// The class is the result.
    pub arg_max: bool,
}

/// A project to be written.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its folder, whose name is the package's.
    pub folder: PathBuf,
    /// The board.
    pub board: Board,
    /// The model file.
    pub model: PathBuf,
    /// Representative inputs.
    pub calibration: PathBuf,
    /// How the model is compiled.
    pub settings: Settings,
}

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// The boards that there are projects for.
///
/// # Errors
/// A list of boards that cannot be read, which is this crate's own fault.
pub fn boards() -> Result<Vec<Board>> {
    #[derive(Deserialize)]
    struct File {
        board: Vec<Board>,
    }
    let file: File = toml::from_str(include_str!("../../../boards/boards.toml"))
        .map_err(|e| Problem::new("boards.toml", e.to_string()))?;
    Ok(file.board.into_iter().filter(|board| board.device.is_some()).collect())
}

/// The board of that name.
///
/// # Errors
/// An unknown name, with the known ones.
pub fn board(name: &str) -> Result<Board> {
    let boards = boards()?;
    let names = boards.iter().map(|b| b.name.as_str()).collect::<Vec<_>>().join(", ");
    let unknown =
        Problem::new(format!("board '{name}'"), "there is no firmware for it").help(format!("known: {names}"));
    Ok(boards.into_iter().find(|b| b.name == name).ok_or(unknown)?)
}

impl Board {
    /// An error that says what is missing to build for it, with the command that installs it.
    ///
    /// # Errors
    /// A missing toolchain.
    pub fn require_toolchain(&self) -> Result<()> {
        toolchain::require(self)
    }

    fn core(&self) -> Core {
        self.core.parse().unwrap_or_default()
    }

    fn template(&self) -> Result<(&'static str, templates::Template)> {
        let found = templates::ALL.iter().find(|(device, _)| Some(*device) == self.device.as_deref());
        Ok(*found.ok_or_else(|| Problem::new(format!("board '{}'", self.name), "has no template"))?)
    }
}

impl Settings {
    /// The builder with these settings.
    #[must_use]
    pub fn of(&self, mut builder: Builder) -> Builder {
        builder = builder.mode(self.mode);
        if let Some(format) = self.weights {
            builder = builder.weights(format);
        }
        if let Some(bits) = self.input_bits {
            builder = builder.input_bits(bits);
        }
        if self.arg_max { builder.arg_max() } else { builder }
    }

    /// The same in a build script, between the first call and the last.
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(format) = self.weights {
            let _ = writeln!(text, "        .weights(\"{format}\".parse()?)");
        }
        if let Some(bits) = self.input_bits {
            let _ = writeln!(text, "        .input_bits({bits})");
        }
        if self.arg_max {
            text.push_str("        .arg_max()\n");
        }
        if self.mode != Mode::default() {
            let _ = writeln!(text, "        .mode(\"{}\".parse()?)", self.mode);
        }
        text
    }
}

impl Project {
    /// Compiles the model for the board, without writing anything.
    ///
    /// # Errors
    /// A model that cannot be compiled, or that the board has no room for: then with what takes the room, and which other
    /// ways would fit.
    pub fn compile(&self) -> Result<Compiled> {
        let builder =
            Builder::new(&self.model).calibration(&self.calibration).name("network").target(self.board.core());
        let compiled = self.settings.of(builder.clone()).compile()?;
        if compiled.plan.text.is_some() {
            return Err(Problem::new(
                self.model.display().to_string(),
                "is a text model, for which there is no template",
            )
            .help("call the generator from a build script of your own: `encoder`, then `infer`")
            .into());
        }
        fit::check(&self.board, &compiled, &builder, &self.settings)?;
        Ok(compiled)
    }

    /// Writes the project; gives its files. Everything that can be wrong is found before anything is written.
    ///
    /// # Errors
    /// A folder that exists, a name that cargo does not take, what [`compile`](Self::compile) finds, or a folder that
    /// cannot be written.
    pub fn create(&self) -> Result<Vec<PathBuf>> {
        let name = self.name()?;
        if self.folder.exists() {
            let place = self.folder.display().to_string();
            return Err(Problem::new(place, "exists already").help("choose another name, or remove it").into());
        }
        self.compile()?;
        let mut folders: Vec<(PathBuf, Files)> = vec![(self.folder.join("model"), self.data()?)];
        let (device, template) = self.board.template()?;
        let own = [("README.md", self.readme(&name)), (".gitignore", "/target\n".into())];
        let files = template.iter().map(|&(path, text)| (path, self.adapted(path, text, device, &name)));
        for (path, text) in files.chain(own) {
            let path = Path::new(path);
            let folder = path.parent().map_or(self.folder.clone(), |parent| self.folder.join(parent));
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            folders.push((folder, vec![(file, text.into_bytes())]));
        }
        let mut written = Vec::new();
        for (folder, files) in folders {
            write_all(&folder, &files)?;
            written.extend(files.into_iter().map(|(file, _)| folder.join(file)));
        }
        Ok(written)
    }

    fn name(&self) -> Result<String> {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(valid) {
            return Ok(name);
        }
        Err(Problem::new(format!("name '{name}'"), "is none that cargo takes")
            .help("begin with a letter, and use letters, digits, - and _")
            .into())
    }

    /// Model, files of weights and calibration data by the names that the project gives them.
    fn data(&self) -> Result<Files> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|e| Problem::new(path.display().to_string(), format!("cannot be read: {e}")))
        };
        let model = read(&self.model)?;
        let beside = self.model.parent().unwrap_or(Path::new(""));
        let external = import::external_files(&model);
        let mut files = vec![(file_name(&self.model), model)];
        files.push((file_name(&self.calibration), read(&self.calibration)?));
        for file in external {
            if Path::new(&file).components().count() != 1 {
                let reason = format!("has weights in '{file}', a folder of its own");
                return Err(Problem::new(self.model.display().to_string(), reason)
                    .help("save the model as one file")
                    .into());
            }
            let content = read(&beside.join(&file))?;
            files.push((file, content));
        }
        Ok(files)
    }

    /// A file of the template with the project's name, the model's files and absolute paths to this checkout.
    fn adapted(&self, path: &str, text: &str, device: &str, name: &str) -> String {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("")).display().to_string();
        match path {
            "Cargo.toml" => text
                .replace(&format!("name = \"{device}\""), &format!("name = \"{name}\""))
                .replace("\"../../../", &format!("\"{checkout}/"))
                .replace("\"../../device\"", &format!("\"{checkout}/boards/device\"")),
            "build.rs" => text
                .replace("../../../tests/models/digits/model.onnx", &format!("model/{}", file_name(&self.model)))
                .replace(
                    "../../../tests/models/digits/calibration.npy",
                    &format!("model/{}", file_name(&self.calibration)),
                )
                .replace("        .generate()", &format!("{}        .generate()", self.settings.text())),
            _ => text.to_owned(),
        }
    }

    fn readme(&self, name: &str) -> String {
        let Board { name: board, description, target, .. } = &self.board;
        let (prefix, needs) = match self.board.library {
            Some(_) => ("RUSTC_BOOTSTRAP=1 ", "rustup component add rust-src".to_owned()),
            None => ("", format!("rustup target add {target}")),
        };
        let linker =
            self.board.linker.as_ref().map_or(String::new(), |linker| {
                format!("    sudo apt-get install {}        # the linker\n", linker.apt)
            });
        let flasher = self.board.flashed_by.first().map_or("probe-rs", String::as_str);
        let plug = self.board.plug.as_deref().unwrap_or_default();
        format!(
            "# {name}\n\n\
             A network on the {description}, made by `cargo tinymlp new --board {board}`. At start it compares golden vectors\n\
             with the host's results and reports PASS or the first difference.\n\n    \
             {needs}\n{linker}    {prefix}cargo build --release\n    {prefix}cargo run --release   # flashes with {flasher} and shows \
             the log\n\n\
             To flash: {plug}.\n\n\
             - `model/` has the network and typical inputs; `build.rs` compiles them. Replace both by your own.\n\
             - `src/main.rs` sets up clocks and pins, checks the network, and waits. Put your sensor there.\n\
             - `.cargo/config.toml` has the target and the program that `cargo run` calls.\n\
             - The crates of tinymlp are taken from the checkout that made this project, by path: see `Cargo.toml`.\n"
        )
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
