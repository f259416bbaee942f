//! The sensor on a bus that checks every byte, and the features beside those of the training script.

use embedded_hal::i2c::ErrorKind;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use std::fs;
use std::path::Path;
use tinymlp_demos::motion::features::features;
use tinymlp_demos::motion::lis3dh::{ADDRESS, Error, Lis3dh, Waiting, milli_g};
use tinymlp_demos::motion::{Activity, HOP, Monitor, Sample, WINDOW, Watch};

/// What starting sends, by the tables of registers in the datasheet.
fn starting() -> Vec<Transaction> {
    let mut all = vec![Transaction::write_read(ADDRESS, vec![0x0f], vec![0x33])];
    let writes = [[0x2e, 0x00], [0x23, 0x98], [0x24, 0x40], [0x2e, 0x80], [0x20, 0x27]];
    all.extend(writes.map(|bytes| Transaction::write(ADDRESS, bytes.to_vec())));
    all
}

#[test]
fn the_sensor_measures_into_its_fifo() {
    let mut expected = starting();
    expected.push(Transaction::write_read(ADDRESS, vec![0x2f], vec![0x82]));
    expected.push(Transaction::write_read(ADDRESS, vec![0xa8], vec![0xf0, 0xff, 0x10, 0x00, 0xf0, 0x7f]));
    expected.push(Transaction::write_read(ADDRESS, vec![0x2f], vec![0x5f]));
    let mut bus = Mock::new(&expected);
    let mut sensor = Lis3dh::new(bus.clone());
    sensor.start().unwrap();
    assert_eq!(sensor.waiting().unwrap(), Waiting { samples: 2, overrun: false });
    assert_eq!(sensor.sample().unwrap(), [-2, 2, 4094]);
    assert_eq!(sensor.waiting().unwrap(), Waiting { samples: 31, overrun: true });
    bus.done();
}

#[test]
fn another_part_or_none_is_an_error() {
    let mut bus = Mock::new(&[Transaction::write_read(ADDRESS, vec![0x0f], vec![0x44])]);
    assert_eq!(Lis3dh::new(bus.clone()).start(), Err(Error::OtherPart(0x44)));
    bus.done();
    let fails = Transaction::write_read(ADDRESS, vec![0x0f], vec![0]).with_error(ErrorKind::Other);
    let mut bus = Mock::new(&[fails]);
    assert_eq!(Lis3dh::new(bus.clone()).start(), Err(Error::Bus(ErrorKind::Other)));
    bus.done();
}

#[test]
fn registers_are_twelve_bits_of_two_milli_g() {
    assert_eq!([0, 0x0010, -0x0010, i16::MAX, i16::MIN].map(milli_g), [0, 2, -2, 4094, -4096]);
}

#[test]
fn features_of_a_window_worked_out_by_hand() {
    // x stands at 1 g, y swings by 100 every sample, z rises by 10 a sample.
    let window = std::array::from_fn(|i| [1000, if i % 2 == 0 { 100 } else { -100 }, 10 * i as i16]);
    // z: mean 155, deviations 155 - 10 i: 2 * (5 + 15 + .. + 155) / 32 = 80; squares 25 * 2 * (1 + 9 + .. + 31^2) = 272,800.
    // All: (320,000 + 272,800) / 32 = 18,525, whose root is 136.1.
    assert_eq!(features(&window), [0, 100, 80, 0, 31 * 200 / 32, 310 / 32, 0, 31, 1, 136]);
}

#[test]
fn extreme_samples_overflow_nothing() {
    for extreme in [[i16::MIN, i16::MAX], [i16::MAX, i16::MIN]] {
        let window = std::array::from_fn(|i| [extreme[i % 2]; 3]);
        assert!(features(&window).iter().all(|&feature| feature >= 0));
    }
}

#[test]
fn decisions_come_when_a_window_is_full_and_every_hop_after_that() {
    let sample = |i: usize| [i as i16, 0, 0];
    let mut monitor = Monitor::new(|features: &[i32; 10]| [1, 3, 3, features[0] as i8]);
    let decided: Vec<usize> = (0..WINDOW + 2 * HOP).filter(|&i| monitor.push(sample(i)).is_some()).collect();
    assert_eq!(decided, [WINDOW - 1, WINDOW + HOP - 1, WINDOW + 2 * HOP - 1]);
    monitor.restart();
    let decision = (0..WINDOW).filter_map(|i| monitor.push(sample(i))).last().unwrap();
    // A slope of 1 deviates by 8; the first of equal scores wins, and the best of all.
    assert_eq!((decision.activity, decision.scores), (Activity::Badminton, [1, 3, 3, 8]));
    assert_eq!(decision.to_string(), "badminton 1 3 3 8");
}

#[test]
fn a_sensor_that_fails_is_started_again_and_its_window_with_it() {
    let level = |samples: u8| Transaction::write_read(ADDRESS, vec![0x2f], vec![samples]);
    let sample = || Transaction::write_read(ADDRESS, vec![0xa8], vec![0; 6]);
    let mut expected = starting();
    expected.push(level(WINDOW as u8 - 1));
    expected.extend((1..WINDOW).map(|_| sample()));
    expected.push(level(1));
    expected.push(sample().with_error(ErrorKind::Other));
    expected.extend(starting());
    // One sample is no window any more.
    expected.extend([level(1), sample()]);
    // Samples that were pushed out leave a gap as well: these are 31, after it.
    expected.push(level(0x40 | 31));
    expected.extend((1..WINDOW).map(|_| sample()));
    expected.extend([level(1), sample()]);
    let mut bus = Mock::new(&expected);
    let mut watch = Watch::new(bus.clone(), |_: &[i32; 10]| [0, 1, 0, 0]);
    let mut decided = 0;
    let mut look = || {
        let looked = watch.look(|_| decided += 1).map(|waiting| (waiting.samples, waiting.overrun));
        (looked, decided)
    };
    assert_eq!(look(), (Ok((0, false)), 0));
    assert_eq!(look(), (Ok((31, false)), 0));
    assert_eq!(look(), (Err(Error::Bus(ErrorKind::Other)), 0));
    assert_eq!(look(), (Ok((0, false)), 0));
    assert_eq!(look(), (Ok((1, false)), 0));
    assert_eq!(look(), (Ok((31, true)), 0));
    assert_eq!(look(), (Ok((1, false)), 1));
    bus.done();
}

/// The script trains on features that it computes itself.
#[test]
fn features_are_those_of_the_training_script() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/motion/recording.csv");
    let text = fs::read_to_string(file).unwrap();
    let rows: Vec<Vec<i16>> =
        text.lines().skip(1).map(|line| line.split(',').map(|value| value.parse().unwrap()).collect()).collect();
    // Of every activity: the first window, and its features as the script prints them.
    let expected = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/motion/recording_features.csv"),
    )
    .unwrap();
    let expected: Vec<Vec<i32>> =
        expected.lines().skip(1).map(|line| line.split(',').map(|value| value.parse().unwrap()).collect()).collect();
    assert_eq!(expected.len(), 4);
    for (activity, expected) in expected.iter().enumerate() {
        let window: Vec<Sample> = rows
            .iter()
            .filter(|row| row[3] == activity as i16)
            .take(WINDOW)
            .map(|row| [row[0], row[1], row[2]])
            .collect();
        assert_eq!(features(&window.try_into().unwrap()).as_slice(), expected);
    }
}
