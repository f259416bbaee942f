//! The demo `nlp`: an assistant on a board, for a person at a terminal or for lines from a pipe.
//!
//! What is typed goes to the board as it is, which does the rest: the terminal's own echo and editing are off meanwhile.
//! Lines from a pipe are sent one at a time, each when the one before it is answered, so that no board loses any.

use super::machine::Machine;
use crate::board::{Board, Demo};
use crate::error::{Context, Error, Result};
use crate::firmware;
use crate::flash::open_serial;
use crate::setup;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use tinymlp_demos::nlp::{CANCEL, END, LINES};

/// Speed of the line.
const BAUD: u32 = 115_200;
/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Talks to an emulated board.
pub fn emulated(board: &Board) -> Result<()> {
    // Without a terminal the output is for answers alone.
    if io::stdin().is_terminal() && !setup::missing(board).is_empty() {
        setup::install(std::slice::from_ref(board))?;
    }
    setup::require(board)?;
    let elf = firmware::build_demo(board, Demo::Nlp, &Vec::new())?;
    let mut machine = Machine::start(board, &elf)?;
    let (writer, reader) = machine.line()?;
    talk(Line::new(writer, reader), &format!("the assistant on an emulated {}", board.description))
}

/// Talks to a board that has been flashed, at a serial port.
pub fn over(port: &Path) -> Result<()> {
    let writer = open_serial(port, BAUD)?;
    let reader = writer.try_clone().context(|| format!("cannot share {}", port.display()))?;
    talk(Line::new(writer, reader), &format!("the assistant at {}", port.display()))
}

/// Lets standard input and output talk to the board.
fn talk(mut line: Line, who: &str) -> Result<()> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let _ = writeln!(io::stderr(), "This is {who}. Ctrl-D ends; Ctrl-C gives a line up.");
        return line.converse();
    }
    line.ask_for_lines()?;
    let mut lines = stdin.lock();
    loop {
        let mut text = Vec::new();
        if lines.read_until(b'\n', &mut text).context(|| "cannot read the input".into())? == 0 {
            return Ok(());
        }
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        let answer = line.answer(text)?;
        // A reader that has seen enough is no error.
        if io::stdout().write_all(&[&answer[..], b"\n"].concat()).and_then(|()| io::stdout().flush()).is_err() {
            return Ok(());
        }
    }
}

/// A serial line to an assistant.
struct Line {
    writer: Box<dyn Write + Send>,
    /// What the board sends, until it ends.
    received: Receiver<Vec<u8>>,
    /// What has been received and not been looked at.
    rest: Vec<u8>,
}

impl Line {
    fn new(writer: impl Write + Send + 'static, mut reader: impl Read + Send + 'static) -> Self {
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer)
                && sender.send(buffer.get(..count).unwrap_or_default().to_vec()).is_ok()
            {}
        });
        Self { writer: Box::new(writer), received, rest: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).and_then(|()| self.writer.flush()).context(|| "the board takes nothing".into())
    }

    /// What is received before `end`.
    fn until(&mut self, end: u8) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.iter().position(|&byte| byte == end) {
                let rest = self.rest.split_off(at + 1);
                let mut found = std::mem::replace(&mut self.rest, rest);
                found.pop();
                return Ok(found);
            }
            let more = self.received.recv_timeout(PATIENCE).map_err(|_| Error::new("the board does not answer"))?;
            self.rest.extend(more);
        }
    }

    /// From now on an answer is a line.
    fn ask_for_lines(&mut self) -> Result<()> {
        self.send(&[CANCEL, LINES])?;
        self.until(LINES).map(drop)
    }

    /// The answer to a line.
    fn answer(&mut self, mut text: Vec<u8>) -> Result<Vec<u8>> {
        for byte in &mut text {
            match *byte {
                // It would end the line, as at a terminal.
                b'\r' => *byte = b' ',
                LINES => *byte = 0,
                _ => {}
            }
        }
        text.push(b'\n');
        self.send(&text)?;
        self.until(b'\n')
    }

    /// Lets the terminal talk, until the board says that it is over.
    fn converse(self) -> Result<()> {
        let _raw = Raw::new()?;
        let Self { mut writer, received, .. } = self;
        thread::spawn(move || {
            let mut buffer = [0; 256];
            let mut stdin = io::stdin();
            while let Ok(count @ 1..) = stdin.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default();
                if writer.write_all(bytes).and_then(|()| writer.flush()).is_err() {
                    return;
                }
            }
            // The terminal is gone.
            let _ = writer.write_all(&[CANCEL, END]).and_then(|()| writer.flush());
        });
        while let Ok(bytes) = received.recv() {
            let shown = bytes.split(|&byte| byte == END).next().unwrap_or_default();
            if io::stdout().write_all(shown).and_then(|()| io::stdout().flush()).is_err() || shown.len() < bytes.len() {
                return Ok(());
            }
        }
        Err(Error::new("the board is gone"))
    }
}

/// The terminal without echo, editing and signals of its own; as it was when this ends.
struct Raw(String);

impl Raw {
    fn new() -> Result<Self> {
        let settings = stty(&["-g"])?;
        let raw = Self(settings.trim().to_owned());
        stty(&["-icanon", "-echo", "-isig", "-iexten", "-ixon", "-icrnl", "min", "1", "time", "0"])?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = stty(&[&self.0]);
    }
}

fn stty(arguments: &[&str]) -> Result<String> {
    let output = Command::new("stty").args(arguments).stdin(Stdio::inherit()).output();
    let output = output.context(|| "cannot run stty".into())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Error::new(format!("cannot set up the terminal: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board;
    use crate::emulated_tests::{not_run, ready};
    use crate::workspace;
    use embedded_io::ErrorType;
    use std::convert::Infallible;
    use tinymlp::text::Summary;
    use tinymlp_codegen::graph::Labels;
    use tinymlp_codegen::plan::simulate::Simulator;
    use tinymlp_codegen::plan::{Output, Plan};
    use tinymlp_codegen::{Builder, Compiled, text::Utterances};
    use tinymlp_demos::nlp::{Assistant, Encoder, Event, Network, confidence};

    /// A board's network as this machine computes it.
    struct Simulated<'p> {
        plan: &'p Plan,
        simulator: Simulator<'p>,
        text: Vec<u8>,
        intent: Vec<i8>,
        slots: Vec<i8>,
    }

    struct Pushed<'a>(&'a mut Vec<u8>, &'a Plan);

    impl Encoder for Pushed<'_> {
        fn push(&mut self, byte: u8) {
            self.0.push(byte);
        }

        fn finish(self) -> Summary {
            let front_end = &self.1.text.as_ref().unwrap().front_end;
            let found = front_end.features([&self.0[..]]).unwrap();
            let read = found.words[0].min(front_end.positions);
            Summary { words: read as u32, cut: (found.words[0] - read) as u32, invalid: found.invalid[0] }
        }
    }

    impl Simulated<'_> {
        fn output(&self, name: &str) -> &Output {
            self.plan.outputs.iter().find(|output| output.name == name).unwrap()
        }

        fn name(&self, output: &str, index: usize) -> &str {
            let Some(Labels::Strings(names)) = &self.output(output).labels else { panic!("{output} has no labels") };
            &names[index]
        }
    }

    impl Network for Simulated<'_> {
        type Encoder<'a>
            = Pushed<'a>
        where
            Self: 'a;

        fn encoder(&mut self) -> Pushed<'_> {
            self.text.clear();
            Pushed(&mut self.text, self.plan)
        }

        fn infer(&mut self) {
            let rows = self.plan.text.as_ref().unwrap().rows([&self.text[..]]).unwrap();
            self.simulator.run_real(&rows.row(0));
            let value = |name| self.simulator.value(self.output(name).value).bytes().iter().map(|&b| b as i8).collect();
            (self.intent, self.slots) = (value("intent"), value("slots"));
        }

        fn intent(&self) -> &[i8] {
            &self.intent
        }

        fn step(&self) -> u32 {
            confidence::step(self.plan.values[self.output("intent").value].quant.scale as f32)
        }

        fn intent_name(&self, intent: usize) -> &str {
            self.name("intent", intent)
        }

        fn slots(&self, position: usize) -> Option<&[i8]> {
            let positions = self.plan.text.as_ref().unwrap().front_end.positions;
            self.slots.chunks(self.slots.len() / positions).nth(position)
        }

        fn tag_name(&self, tag: usize) -> &str {
            self.name("slots", tag)
        }
    }

    /// A port with a script, and what was written to it.
    struct Port<'a> {
        script: &'a [u8],
        written: Vec<u8>,
    }

    impl ErrorType for Port<'_> {
        type Error = Infallible;
    }

    impl embedded_io::Read for Port<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Infallible> {
            let Ok(count) = embedded_io::Read::read(&mut self.script, &mut buffer[..1]);
            Ok(count)
        }
    }

    impl embedded_io::Write for Port<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::result::Result<usize, Infallible> {
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::result::Result<(), Infallible> {
            Ok(())
        }
    }

    fn network(size: &str) -> Compiled {
        let folder = workspace::root().join("tests/models/pnlp");
        let builder = Builder::new(folder.join(format!("snips-{size}.onnx")));
        builder.calibration(folder.join("snips.calibration.tsv")).compile().unwrap()
    }

    /// What this machine writes after a script.
    fn answered_here(compiled: &Compiled, script: &[u8]) -> Vec<u8> {
        let plan = &compiled.plan;
        let (text, intent, slots) = Default::default();
        let mut network = Simulated { plan, simulator: Simulator::new(plan), text, intent, slots };
        let mut port = Port { script, written: Vec::new() };
        let mut assistant = Assistant::new();
        while assistant.turn(&mut port, &mut network) != Ok(Event::Ended) {}
        port.written
    }

    /// The answers to lines, of an emulated board.
    fn answers(board: &Board, elf: &Path, lines: &[Vec<u8>]) -> Vec<String> {
        let mut machine = Machine::start(board, elf).unwrap();
        let (writer, reader) = machine.line().unwrap();
        let mut line = Line::new(writer, reader);
        line.ask_for_lines().unwrap();
        lines.iter().map(|text| String::from_utf8(line.answer(text.clone()).unwrap()).unwrap()).collect()
    }

    /// The answers to lines, of this machine.
    fn answers_here(compiled: &Compiled, lines: &[Vec<u8>]) -> Vec<String> {
        let script: Vec<u8> = [LINES].into_iter().chain(lines.iter().flatten().copied()).collect();
        let written = String::from_utf8(answered_here(compiled, &script)).unwrap();
        written.strip_prefix("> \x1e").unwrap().lines().map(str::to_owned).collect()
    }

    const SENTENCES: [&str; 6] = [
        "play some miles davis on spotify",
        "Will it snow in Zürich tomorrow?",
        "book a table for two at a steakhouse in boston",
        "give this novel 4 out of 5 stars",
        "add blue train to my jazz playlist",
        "楽 \u{1f3b5}",
    ];

    /// Lines that nobody should send.
    fn strange() -> Vec<Vec<u8>> {
        vec![
            Vec::new(),
            b" \t ".to_vec(),
            b"a\x00\x01\x02\x03\x04\x08\x1b[A\x7fb".to_vec(),
            b"play \xff\xc3 b\xe9".to_vec(),
            b"x".repeat(10_000),
            "word ".repeat(2_000).into_bytes(),
        ]
    }

    #[test]
    fn emulated_boards_answer_lines_as_the_host_does() {
        for (board, size) in [("microbit", "x-small"), ("mps2-an386", "base")] {
            let board = board::find(board).unwrap();
            if ready("the demo nlp", setup::require(&board)) {
                answers_lines_as_the_host_does(&board, size);
            }
        }
    }

    fn answers_lines_as_the_host_does(board: &Board, size: &str) {
        let compiled = network(size);
        let elf = firmware::build_demo(board, Demo::Nlp, &Vec::new()).unwrap();
        let lines: Vec<Vec<u8>> = SENTENCES.iter().map(|text| text.as_bytes().to_vec()).chain(strange()).collect();
        let found = answers(board, &elf, &lines);
        let ended: Vec<Vec<u8>> = lines.iter().map(|line| [line, &b"\n"[..]].concat()).collect();
        assert_eq!(found, answers_here(&compiled, &ended));
        assert!(
            found[0].starts_with("intent PlayMusic (") && found[0].contains("\tartist: miles davis"),
            "{}",
            found[0]
        );
        assert_eq!(found[6..8], ["no words", "no words"]);
        assert!(found[9].contains("\tparts that are not UTF-8: 3"), "{}", found[9]);
        assert!(found[11].contains("\twords left out: 1968"), "{}", found[11]);
    }

    #[test]
    fn an_emulated_board_is_typed_at_as_the_host_is() {
        let board = board::find("microbit").unwrap();
        if !ready("the demo nlp", setup::require(&board)) {
            return;
        }
        let elf = firmware::build_demo(&board, Demo::Nlp, &Vec::new()).unwrap();
        let script = b"play  miles\x17jazzz\x7f\rwrong\x03\x1b[A\xe2\x82\x7f\x7fwill it rain in oslo\r\n\r\x07\x04";
        let mut machine = Machine::start(&board, &elf).unwrap();
        let (writer, reader) = machine.line().unwrap();
        let mut line = Line::new(writer, reader);
        for piece in script.chunks(3) {
            line.send(piece).unwrap();
        }
        let found = [line.until(END).unwrap(), vec![END]].concat();
        let [found, here] =
            [found, answered_here(&network("x-small"), script)].map(|b| String::from_utf8_lossy(&b).into_owned());
        assert_eq!(found, here);
    }

    #[test]
    fn utterances_of_snips_are_answered_as_the_host_answers_them() {
        let file = workspace::root().join("../shared/data/text/snips/valid.tsv.gz");
        let board = board::find("microbit").unwrap();
        if !file.is_file() {
            return not_run("the demo nlp on SNIPS", &format!("{} is not there", file.display()));
        }
        if !ready("the demo nlp on SNIPS", setup::require(&board)) {
            return;
        }
        let elf = firmware::build_demo(&board, Demo::Nlp, &Vec::new()).unwrap();
        let utterances = Utterances::load(&file).unwrap().limited(200);
        let lines: Vec<Vec<u8>> = utterances.texts().map(<[u8]>::to_vec).collect();
        let ended: Vec<Vec<u8>> = lines.iter().map(|line| [line, &b"\n"[..]].concat()).collect();
        assert_eq!(answers(&board, &elf, &lines), answers_here(&network("x-small"), &ended));
    }
}
