use super::*;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models").join(name)
}

fn project(board: &str, folder: &Path) -> Project {
    Project {
        folder: folder.to_owned(),
        board: super::board(board).unwrap(),
        model: model("digits/model.onnx"),
        calibration: model("digits/calibration.npy"),
        settings: Settings::default(),
    }
}

/// A folder that does not exist.
fn temporary(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tinymlp-project-{}", std::process::id())).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn every_board_has_a_template_and_every_template_a_board() {
    let boards = boards().unwrap();
    boards.iter().for_each(|board| assert!(board.template().is_ok() && board.base.is_some(), "{}", board.name));
    assert_eq!(boards.len(), templates::ALL.len());
    // Everything in the packages that is not made by cargo is in the templates.
    for (device, template) in templates::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards/devices").join(device);
        let made = ["Cargo.lock", "target", ".cargo", "src"];
        for entry in folder.read_dir().unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = made.contains(&name.as_str()) || template.iter().any(|(file, _)| *file == name);
            assert!(known, "{name} of {device}");
        }
    }
}

#[test]
fn an_unknown_board_lists_the_known_ones() {
    let message = board("nucleo").unwrap_err().to_string();
    assert!(message.contains("'nucleo'") && message.contains("known: microbit, arduino-uno, rp2040"), "{message}");
}

#[test]
fn a_project_has_its_own_name_model_and_paths() {
    for board in boards().unwrap() {
        let folder = temporary(&format!("own-{}", board.name));
        let settings = Settings { weights: Some(Format::Int4), mode: Mode::Size, input_bits: Some(6), arg_max: true };
        let written = Project { settings, ..project(&board.name, &folder) }.create().unwrap();
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
        let manifest = text("Cargo.toml");
        assert_eq!(manifest.matches(&format!("name = \"own-{}\"", board.name)).count(), 2, "{manifest}");
        let paths = manifest.split("path = \"").skip(1).map(|rest| Path::new(rest.split('"').next().unwrap()));
        assert_eq!(paths.clone().count(), 3);
        paths.for_each(|path| assert!(path.is_absolute() && path.join("Cargo.toml").is_file(), "{}", path.display()));
        let script = text("build.rs");
        for line in
            ["model/model.onnx", "model/calibration.npy", ".weights(\"int4\".parse()?)", ".mode(\"size\".parse()?)"]
        {
            assert!(script.contains(line), "{line} in {script}");
        }
        assert!(script.contains(".input_bits(6)") && script.contains(".arg_max()") && !script.contains("../"));
        assert!(folder.join("model/model.onnx").is_file());
        assert!(written.iter().all(|file| file.is_file()));
        assert!(text("README.md").contains("cargo run --release"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn an_existing_folder_is_left_alone() {
    let folder = temporary("existing");
    std::fs::create_dir_all(&folder).unwrap();
    let message = project("rp2040", &folder).create().unwrap_err().to_string();
    assert!(message.contains("exists already"), "{message}");
    assert_eq!(folder.read_dir().unwrap().count(), 0);
    std::fs::remove_dir_all(&folder).unwrap();
    let message = project("rp2040", &temporary("9 lives")).create().unwrap_err().to_string();
    assert!(message.contains("none that cargo takes"), "{message}");
}

#[test]
fn a_model_too_big_is_refused_with_what_would_fit() {
    let folder = temporary("too-big");
    let mut board = board("ch32v003").unwrap();
    // Less than int8 weights want in any mode beside the firmware, more than weights of four bits do.
    board.flash.bytes = 4300 + board.base.unwrap().flash;
    let has = format!("the board has {} and 2048, of which the firmware takes", board.flash.bytes);
    let message = Project { board, ..project("ch32v003", &folder) }.create().unwrap_err().to_string();
    assert!(message.contains("ch32v003: the model does not fit: it needs "), "{message}");
    assert!(message.contains(&has), "{message}");
    let line = |start: &str| message.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_default();
    assert!(line("--mode size  ").ends_with("too big"), "{message}");
    assert!(line("--mode size --weights int4").ends_with("fits"), "{message}");
    assert!(message.contains("help: --mode size --weights int4 fits"), "{message}");
    assert!(!folder.exists());
}

#[test]
fn a_missing_toolchain_is_named_with_the_command() {
    let mut board = board("pico2").unwrap();
    board.target = "thumbv9-none-eabi".into();
    let message = board.require_toolchain().unwrap_err().to_string();
    assert!(message.contains("rustup target add thumbv9-none-eabi"), "{message}");
    board.library = Some("source".into());
    board.linker = Some(Linker { program: "no-such-linker".into(), apt: "no-such-package".into() });
    let message = board.require_toolchain().unwrap_err().to_string();
    assert!(message.contains("apt-get install no-such-package") || message.contains("rust-src"), "{message}");
}
