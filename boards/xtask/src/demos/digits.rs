//! The demo `digits`: images over a serial line, some of them broken on the way.

use super::machine::Machine;
use super::{play, say_cost, say_size};
use crate::board::{Board, Demo, Emulator};
use crate::demo::{Digit, draw};
use crate::error::{Context, Error, Result};
use crate::firmware;
use crate::flash::open_serial;
use crate::out::{out, outln};
use crate::rp2040js::{Played, Recording};
use crate::workspace;
use embedded_io::{ErrorKind, ErrorType};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::plan::simulate::{Simulator, quantize};
use tinymlp_codegen::report::classes;
use tinymlp_codegen::{Builder, Compiled};
use tinymlp_demos::digits::frame::{self, Fault, PIXELS, START};
use tinymlp_demos::digits::{Answer, Event, Scores, Server};

/// Images that the demo sends.
const IMAGES: usize = 40;
/// Drawn in one line.
const SHOWN: usize = 6;
/// Speed of the line.
const BAUD: u32 = 115_200;
/// Milliseconds of silence that end a frame, with a good deal to spare.
const PAUSE: u16 = 100;
/// Longest that an emulator may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a reply is.
type Reply = Result<Answer, Fault>;

/// The network, and images with their digits.
pub struct Images {
    compiled: Compiled,
    images: Vec<([u8; PIXELS], usize)>,
}

impl Images {
    /// The first test images of the network.
    pub fn load() -> Result<Self> {
        let folder = workspace::root().join("tests/models/digits");
        let text = |error: tinymlp_codegen::Error| Error::new(error.to_string());
        let builder = Builder::new(folder.join("model.onnx")).calibration(folder.join("calibration.npy"));
        let compiled = builder.compile().map_err(text)?;
        let file = folder.join("test_x.npy");
        let rows = Rows::new(&compiled.graph, &data::load(&file).map_err(text)?, &file).map_err(text)?;
        let labels = data::load_labels(&folder.join("test_y.npy"), rows.len(), classes(&compiled.graph));
        let images = labels.map_err(text)?.into_iter().enumerate().take(IMAGES).map(|(row, label)| {
            let grays = rows.row(row)[0];
            (std::array::from_fn(|pixel| grays.get(pixel).copied().unwrap_or_default() as u8), label)
        });
        Ok(Self { images: images.collect(), compiled })
    }

    /// The firmware's own code on this machine, with the simulation as its network.
    fn server(&self) -> Server<impl FnMut(&[i8; PIXELS], &mut Scores)> {
        let plan = &self.compiled.plan;
        let grays: Vec<f32> = (0..=frame::WHITE).map(f32::from).collect();
        let quantized = quantize(plan, &plan.inputs[0], &grays).bytes();
        let levels = std::array::from_fn(|gray| quantized.get(gray).copied().unwrap_or_default() as i8);
        let mut simulator = Simulator::new(plan);
        Server::new(levels, move |input, scores| {
            simulator.run(&[tinymlp_codegen::plan::kernels::Buffer::I8(input.to_vec())]);
            let bytes = simulator.value(plan.outputs[0].value).bytes();
            scores.iter_mut().zip(bytes).for_each(|(score, byte)| *score = byte as i8);
        })
    }

    /// The images as they arrive: every ninth frame is broken, each time in another way.
    pub fn script(&self) -> Vec<u16> {
        let mut script: Vec<u16> = Vec::new();
        for (number, (pixels, _)) in self.images.iter().enumerate() {
            let good = frame::request(pixels);
            if number % 9 == 8 {
                let mut broken = good.to_vec();
                match number / 9 {
                    0 => broken[20] ^= 4,
                    1 => broken = [START, 200].iter().copied().chain([1; 210]).collect(),
                    2 => broken = b"garbage".to_vec(),
                    _ => broken.truncate(30),
                }
                script.extend(broken.into_iter().map(u16::from));
                if number / 9 > 2 {
                    script.push(256 + PAUSE);
                }
            }
            script.extend(good.iter().copied().map(u16::from));
        }
        script
    }

    /// What this machine answers to a script, byte for byte.
    pub fn answered_here(&self, script: &[u16]) -> Vec<u8> {
        let mut line = Line { script: script.iter(), written: Vec::new() };
        let mut server = self.server();
        while !matches!(server.turn(&mut line), Ok(Event::Ended) | Err(_)) {}
        line.written
    }
}

/// A script as a line.
struct Line<'a> {
    script: std::slice::Iter<'a, u16>,
    written: Vec<u8>,
}

impl ErrorType for Line<'_> {
    type Error = ErrorKind;
}

impl embedded_io::Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let (Some(first), Some(&number)) = (buffer.first_mut(), self.script.next()) else { return Ok(0) };
        *first = u8::try_from(number).map_err(|_| ErrorKind::TimedOut)?;
        Ok(1)
    }
}

impl embedded_io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// What an emulated board answers to the script.
pub fn answered(board: &Board, script: &[u16]) -> Result<Played> {
    play(board, Demo::Digits, &Vec::new(), Recording::Serial, script)
}

/// What a board in QEMU answers, which knows no pauses: one lasts until this machine's answer to all before it is there.
fn answered_in_qemu(board: &Board, elf: &Path, images: &Images, script: &[u16]) -> Result<Vec<u8>> {
    let mut machine = Machine::start(board, elf)?;
    let (mut writer, reader) = machine.line()?;
    let receiver = bytes_of(reader);
    let mut received = Vec::new();
    let mut sent = 0;
    for piece in script.split_inclusive(|&number| number > 255) {
        sent += piece.len();
        let bytes: Vec<u8> = piece.iter().filter_map(|&number| u8::try_from(number).ok()).collect();
        writer.write_all(&bytes).and_then(|()| writer.flush()).context(|| "the emulator takes nothing".into())?;
        while received.len() < images.answered_here(&script[..sent]).len() {
            let byte = receiver.recv_timeout(PATIENCE);
            received.push(byte.map_err(|_| Error::new(format!("{} does not answer a frame", board.name)))?);
        }
    }
    Ok(received)
}

/// Runs the demo on an emulated board.
pub fn emulated(board: &Board) -> Result<()> {
    let images = Images::load()?;
    let script = images.script();
    outln!("Sending {} images and {} broken frames to {}", images.images.len(), images.images.len() / 9, board.name);
    let (mut played, mut elf) = (None, PathBuf::new());
    let sent = match board.emulator {
        Some(Emulator::Qemu(_)) => {
            elf = firmware::build_demo(board, Demo::Digits, &Vec::new())?;
            answered_in_qemu(board, &elf, &images, &script)?
        }
        _ => played.insert(answered(board, &script)?).sent.clone(),
    };
    if sent != images.answered_here(&script) {
        return Err(Error::new(format!("{} does not answer what the host answers", board.name)));
    }
    let mut sent = sent.as_slice();
    let replies: Vec<Reply> = std::iter::from_fn(|| frame::take_reply(&mut sent)).collect();
    show(&images, &replies);
    outln!("Every answer is the host's.");
    played.as_ref().map_or_else(|| say_size(&elf), say_cost)
}

fn show(images: &Images, replies: &[Reply]) {
    for fault in replies.iter().filter_map(|reply| reply.err()) {
        outln!("refused: {}", fault.name());
    }
    let answers = replies.iter().filter_map(|reply| reply.ok());
    let digits: Vec<Digit> = (images.images.iter().zip(answers))
        .map(|((pixels, label), answer)| Digit {
            pixels: pixels.iter().map(|&pixel| f32::from(pixel) / f32::from(frame::WHITE)).collect(),
            label: *label,
            answer: answer.digit.into(),
        })
        .collect();
    out!("\n{}", draw(&digits[..digits.len().min(SHOWN)]));
    let right = digits.iter().filter(|digit| digit.answer == digit.label).count();
    outln!("{right} of {} digits are right", digits.len());
}

/// Sends the images to a board at a serial port, each when the one before it is answered.
pub fn over(board: &Board, port: &Path) -> Result<()> {
    let images = Images::load()?;
    let mut line = open_serial(port, BAUD)?;
    let receiver = bytes_of(line.try_clone().context(|| format!("cannot share {}", port.display()))?);
    let mut replies = Vec::new();
    for (pixels, _) in &images.images {
        line.write_all(&frame::request(pixels)).context(|| format!("cannot write to {}", port.display()))?;
        let mut received = Vec::new();
        let reply = loop {
            let byte = receiver.recv_timeout(Duration::from_secs(1));
            received.push(byte.map_err(|_| silent(board, port))?);
            if let Some(reply) = frame::take_reply(&mut received.as_slice()) {
                break reply;
            }
        };
        replies.push(reply);
    }
    show(&images, &replies);
    Ok(())
}

fn silent(board: &Board, port: &Path) -> Error {
    let name = &board.name;
    let connect = match name.as_str() {
        "rp2040" => "connect GP0 to the adapter's RX and GP1 to its TX",
        _ => "name its port: it has a serial line of its own, by USB",
    };
    let flash = format!("flash the demo (cargo xtask demo digits --flash --board {name})");
    Error::new(format!("nothing answers at {}: {flash}, and {connect}", port.display()))
}

/// Bytes as they come, until the other end closes.
fn bytes_of(mut reader: impl Read + Send + 'static) -> Receiver<u8> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut byte = [0];
        while reader.read_exact(&mut byte).is_ok() && sender.send(byte[0]).is_ok() {}
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board;
    use crate::emulated_tests::ready;
    use crate::setup;

    #[test]
    fn emulated_boards_answer_every_frame_as_the_host_does() {
        let images = Images::load().unwrap();
        let script = images.script();
        let expected = images.answered_here(&script);
        let mut bytes = expected.as_slice();
        let replies: Vec<Reply> = std::iter::from_fn(|| frame::take_reply(&mut bytes)).collect();
        let faults: Vec<_> = replies.iter().filter_map(|reply| reply.err()).collect();
        assert_eq!(faults, [Fault::Checksum, Fault::Length, Fault::NoStart, Fault::Silence]);
        assert_eq!(replies.len(), IMAGES + faults.len());

        let board = board::find("rp2040").unwrap();
        if ready("the demo digits on a Pico", setup::require(&board)) {
            let played = answered(&board, &script).unwrap();
            assert_eq!(played.sent, expected);
            // It sleeps between bytes.
            assert!(played.awake < 0.2, "{}", played.awake);
        }
        let board = board::find("microbit").unwrap();
        if ready("the demo digits on a micro:bit", setup::require(&board)) {
            let elf = firmware::build_demo(&board, Demo::Digits, &Vec::new()).unwrap();
            assert_eq!(answered_in_qemu(&board, &elf, &images, &script).unwrap(), expected);
        }
    }
}
