// Runs a device's firmware, unchanged, in rp2040js until it has recorded how its self-test went.
//
// node rp2040_device.mjs RP2040JS FLASH ADDRESS SECONDS
//
// RP2040JS  folder of the package
// FLASH     file with the bytes of the flash, which begins with the second stage of the boot loader
// ADDRESS   of the byte that is 0 until the self-test has ended, and is printed then
// SECONDS   of the device's time until it is given up

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, flash, address, seconds] = process.argv.slice(2).map((argument, i) => (i < 2 ? argument : Number(argument)));
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
while (rp2040.sram[address - RAM] === 0 && clock.nanos < seconds * 1e9) {
  const cycles = core.waiting ? 1000 : core.executeInstruction();
  clock.tick((cycles * 1e9) / rp2040.clkSys);
}
console.log(rp2040.sram[address - RAM]);
