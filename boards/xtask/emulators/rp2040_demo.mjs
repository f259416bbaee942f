// Runs a demo's firmware, unchanged, in rp2040js, with a recording in the place of what is connected to the chip. Prints
// what it sends on UART0; at the end, on the other stream, the share of the time that the processor was awake.
//
// node rp2040_demo.mjs RP2040JS FLASH KIND RECORDING
//
// RP2040JS   folder of the package
// FLASH      file with the bytes of the flash, which begins with the second stage of the boot loader
// KIND       serial, i2c or adc: what the recording is of
// RECORDING  file of little-endian numbers of 16 bits.
//            serial: a byte that arrives, at 115,200 baud; from 256 on a silence of so many milliseconds less 256
//            i2c: samples of a LIS3DH at its address 0x19, as three registers of 16 bits, at the rate that is set
//            adc: values of the converter, one a conversion

import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, flash, kind, recording] = process.argv.slice(2);
const entry = join(folder, JSON.parse(readFileSync(join(folder, 'package.json'))).module);
const { Simulator, ConsoleLogger, LogLevel } = await import(pathToFileURL(entry));

const FLASH = 0x10000000;
const RAM = 0x20000000;
const { rp2040, clock } = new Simulator();
const { core } = rp2040;
rp2040.logger = new ConsoleLogger(LogLevel.Error);
rp2040.onBreak = (code) => {
  console.error(`breakpoint ${code} at ${core.PC.toString(16)}`);
  process.exit(1);
};
rp2040.flash.set(readFileSync(flash));
core.VTOR = FLASH;
core.LR = 0;
core.SP = RAM + rp2040.sram.length;
core.PC = FLASH;

const bytes = readFileSync(recording);
const numbers = Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16LE(2 * i));
let sent = [];
const uart = rp2040.uart[0];
uart.onByte = (byte) => sent.push(byte);
// rp2040js has no such register; a line without errors reads 0 there.
const RECEIVE_STATUS = 0x04;
const readUart = uart.readUint32.bind(uart);
uart.readUint32 = (offset) => (offset === RECEIVE_STATUS ? 0 : readUart(offset));

// The end comes some time after the recording's, when what it led to is done. The converter goes on with its last value, and
// ends before that makes another frame.
const SETTLED = kind === 'adc' ? 25e6 : 1e9;
let end = Infinity;
const over = () => {
  if (end === Infinity) end = clock.nanos + SETTLED;
};

function serial() {
  // A start bit, eight bits, a stop bit.
  const BYTE = (10 * 1e9) / 115200;
  const START = 100e6;
  let next = 0;
  const alarm = clock.createAlarm(() => {
    if (next === numbers.length) return over();
    const number = numbers[next++];
    if (number < 256) uart.feedByte(number);
    alarm.schedule(number < 256 ? BYTE : (number - 256) * 1e6);
  });
  alarm.schedule(START);
}

function i2c() {
  const bus = rp2040.i2c[0];
  const RATES = [0, 1, 10, 25, 50, 100, 200, 400];
  const [WHO_AM_I, CONTROL, OUT, FIFO_SOURCE] = [0x0f, 0x20, 0x28, 0x2f];
  const DEPTH = 32;
  const registers = new Uint8Array(64);
  registers[WHO_AM_I] = 0x33;
  let fifo = [];
  let next = 0;
  let register = null;
  const alarm = clock.createAlarm(() => {
    if (3 * next === numbers.length) return over();
    if (fifo.length === DEPTH) fifo.shift();
    fifo.push(numbers.slice(3 * next, 3 * next + 3));
    next++;
    alarm.schedule(1e9 / RATES[registers[CONTROL] >> 4]);
  });
  const read = (at) => {
    if (at === FIFO_SOURCE) return Math.min(fifo.length, DEPTH - 1) | (fifo.length === DEPTH ? 0x40 : 0);
    if (at < OUT || at >= OUT + 6) return registers[at];
    const value = (fifo[0] ?? [0, 0, 0])[(at - OUT) >> 1];
    // The last byte of a sample takes it out.
    if (at === OUT + 5) fifo.shift();
    return (at & 1 ? value >> 8 : value) & 0xff;
  };
  const advance = () => {
    const at = register & 0x3f;
    // Bit 7 of the address asks for the next register each time; those of a sample go round.
    if (register & 0x80) register = 0x80 | (at === OUT + 5 ? OUT : at + 1);
    return at;
  };
  bus.onConnect = (address, mode) => {
    if (mode === 0) register = null;
    bus.completeConnect(address === 0x19);
  };
  bus.onWriteByte = (value) => {
    if (register === null) {
      register = value;
    } else {
      const at = advance();
      registers[at] = value;
      if (at === CONTROL && value >> 4) alarm.schedule(1e9 / RATES[value >> 4]);
    }
    bus.completeWrite(true);
  };
  bus.onReadByte = () => bus.completeRead(read(advance()));
}

function adc() {
  const { adc } = rp2040;
  const convert = adc.onADCRead;
  let next = 0;
  adc.onADCRead = (channel) => {
    if (next === numbers.length) over();
    else adc.channelValues[channel] = numbers[next++];
    convert(channel);
  };
  // rp2040js looks at the interrupt when a value comes, but not when one is taken.
  const readRegister = adc.readUint32.bind(adc);
  adc.readUint32 = (offset) => {
    const value = readRegister(offset);
    adc.checkInterrupts();
    return value;
  };
}

({ serial, i2c, adc })[kind]();
let awake = 0;
while (clock.nanos < end) {
  if (core.waiting) {
    const left = end - clock.nanos;
    const nanos = clock.nextAlarm === null ? left : Math.min(clock.nanosToNextAlarm, left);
    if (nanos === Infinity) {
      console.error('the firmware waits for nothing');
      process.exit(1);
    }
    clock.tick(nanos);
  } else {
    const nanos = (core.executeInstruction() * 1e9) / rp2040.clkSys;
    awake += nanos;
    clock.tick(nanos);
  }
}
writeSync(1, Uint8Array.from(sent));
console.error(JSON.stringify({ seconds: clock.nanos / 1e9, awake: awake / clock.nanos }));
