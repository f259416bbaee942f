// Runs a firmware in rp2040js: serves its semihosting calls, and counts between its readings of SysTick.
//
// node rp2040.mjs RP2040JS FLASH STATICS_END FAULT
//
// RP2040JS     folder of the package
// FLASH        file with the bytes of the flash, which begins with the second stage of the boot loader
// STATICS_END  the stack must not come below this address
// FAULT        exit status where it does, or where the processor would fault
//
// The firmware's files are in the working directory. counters.bin gets two little-endian numbers of 64 bits for each
// of the two calibrations and for every row of outputs: instructions and cycles of the measured call, the second
// reading included. Flash takes as long as RAM in rp2040js: there is neither cache nor contention on the bus.

import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, flash, staticsEnd, fault] = process.argv.slice(2).map((argument, i) => (i < 2 ? argument : Number(argument)));
const entry = join(folder, JSON.parse(readFileSync(join(folder, 'package.json'))).module);
const { Simulator } = await import(pathToFileURL(entry));

const FLASH = 0x10000000;
const RAM = 0x20000000;
const { rp2040, clock } = new Simulator();
const { core } = rp2040;

function stop(message) {
  console.error(message);
  process.exit(fault);
}

// What a processor answers by a fault is a message in rp2040js.
rp2040.logger = {
  debug() {},
  info() {},
  warn(_, message) {
    if (/invalid memory|undefined address|not implemented yet/.test(message)) stop(message);
  },
  error(_, message) {
    stop(message);
  },
};

// The measured call lies between two readings of the counter, which follow a reading of its flag and precede another.
const COUNTER = 0x018;
const FLAG = 0x010;
let instructions = 0;
let readings = null;
let spans = [];
const readRegister = rp2040.ppb.readUint32.bind(rp2040.ppb);
rp2040.ppb.readUint32 = (offset) => {
  if (offset === COUNTER) readings?.push([instructions, core.cycles]);
  if (offset === FLAG) {
    if (readings?.length === 2) {
      const [[i, c], [j, d]] = readings;
      spans.push([j - i, d - c]);
      readings = null;
    } else {
      readings = [];
    }
  }
  return readRegister(offset);
};
const writeRegister = rp2040.ppb.writeUint32.bind(rp2040.ppb);
rp2040.ppb.writeUint32 = (offset, value) => {
  if (offset === COUNTER) readings = null;
  writeRegister(offset, value);
};

const counters = openSync('counters.bin', 'w');
function write(spans) {
  writeSync(counters, new Uint8Array(new BigUint64Array(spans.flat().map(BigInt)).buffer));
}

// Semihosting, as far as the firmware uses it.
const names = new Map();
const word = (block, index) => rp2040.readUint32(block + 4 * index);
const memory = (address, length) => {
  const bytes = address >= RAM ? rp2040.sram : rp2040.flash;
  const start = address - (address >= RAM ? RAM : FLASH);
  return bytes.subarray(start, start + length);
};
const operations = {
  // OPEN
  0x01(block) {
    const name = Buffer.from(memory(word(block, 0), word(block, 2))).toString();
    try {
      const file = openSync(name, word(block, 1) < 4 ? 'r' : 'w');
      names.set(file, name);
      return file;
    } catch {
      return -1;
    }
  },
  // WRITE
  0x05(block) {
    const bytes = memory(word(block, 1), word(block, 2));
    const file = word(block, 0);
    // A call may have been repeated to measure its stack: the last one belongs to the row.
    if (names.get(file) === 'outputs.bin') write(spans.splice(0).slice(-1));
    else if (!started) write(spans.splice(0));
    started = true;
    return bytes.length - writeSync(file, bytes);
  },
  // READ
  0x06(block) {
    const bytes = memory(word(block, 1), word(block, 2));
    return bytes.length - readSync(word(block, 0), bytes);
  },
  // EXIT_EXTENDED
  0x20(block) {
    closeSync(counters);
    process.exit(word(block, 1));
  },
};
let started = false;
rp2040.onBreak = (code) => {
  const operation = operations[core.registers[0]];
  if (code !== 0xab || !operation) stop(`breakpoint ${code} at ${core.PC.toString(16)}`);
  core.registers[0] = operation(core.registers[1] >>> 0);
};

rp2040.flash.set(readFileSync(flash));
core.VTOR = FLASH;
core.LR = 0;
core.SP = RAM + rp2040.sram.length;
core.PC = FLASH;
for (;;) {
  const cycles = core.executeInstruction();
  instructions++;
  clock.tick((cycles * 1e9) / rp2040.clkSys);
  if (core.SP >>> 0 < staticsEnd) stop('the stack has reached the statics');
  if (core.waiting) stop('the firmware waits for nothing');
}
