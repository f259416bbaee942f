//! Cycles by SysTick, which every Cortex-M board here has but the nRF51.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// Largest value of the timer.
const MAX: u32 = 0x00ff_ffff;

/// Cycles of the processor while `run` runs, if they are fewer than 2^24.
pub fn measure(timer: &mut SYST, run: impl FnOnce()) -> u32 {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(MAX);
    timer.clear_current();
    timer.enable_counter();
    let before = SYST::get_current();
    run();
    // The timer counts down.
    let cycles = before.wrapping_sub(SYST::get_current()) & MAX;
    timer.disable_counter();
    cycles
}
