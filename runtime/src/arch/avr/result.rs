//! What becomes of a sum of three bytes: multiplied, shifted, rounded, limited, stored.

/// The shift of a layer in which every output has its own.
pub(super) const EACH: u8 = 8;

/// Bytes of multiplier and shift of an output.
pub(super) const fn scale(shift: u8) -> usize {
    if shift == EACH { 3 } else { 2 }
}

/// The result of a sum, by zero point, smallest and largest result and what the stream holds next.
///
/// ```text
/// clamp(zero point + floor((sum * multiplier * 2^shift + 2^23) / 2^24))
/// ```
#[cfg(not(tinymlp_arch = "avr"))]
pub(super) fn requantized(sum: i32, shift: u8, [zero_point, min, max]: [i8; 3], stream: &mut &[u8]) -> Option<i8> {
    let &[low, high] = stream.split_off(..2)?.first_chunk()?;
    let multiplier = i32::from(u16::from_le_bytes([low, high])) << 8;
    let shift = if shift == EACH { *stream.split_off_first()? } else { shift };
    let scaled = crate::requantize(sum, multiplier.wrapping_shl(shift.into()), 0);
    Some(scaled.wrapping_add(zero_point.into()).max(min.into()).min(max.into()) as i8)
}

/// The end of a function that takes the sum in r18, r19 and r20, reads its multiplier at Z and stores the result at X.
/// r2 is zero; r0, r1 and r22 to r25 are lost. Operands: `short`, whether a negative sum is taken for `min` without a
/// multiplication, `shift` and the bytes of its `scale`, `zero_point`, `min` and `max`.
#[cfg(tinymlp_arch = "avr")]
macro_rules! store_result {
    () => {
        concat!(
            ".if {short}\n",
            "tst r20\n",
            "brmi 42f\n",
            ".endif\n",
            "lpm r22, Z+\n",
            "lpm r23, Z+\n",
            // The second byte of the product in r24, the third in r25, then the fourth in r18, the fifth in r24.
            "mul r18, r22\n",
            "mov r24, r1\n",
            "mul r18, r23\n",
            "mov r25, r1\n",
            "add r24, r0\n",
            "adc r25, r2\n",
            "clr r18\n",
            "mul r19, r22\n",
            "add r24, r0\n",
            "adc r25, r1\n",
            "adc r18, r2\n",
            "mul r19, r23\n",
            "add r25, r0\n",
            "adc r18, r1\n",
            "mulsu r20, r22\n",
            "sbc r24, r24\n",
            "add r25, r0\n",
            "adc r18, r1\n",
            "adc r24, r2\n",
            "mulsu r20, r23\n",
            "add r18, r0\n",
            "adc r24, r1\n",
            ".if {shift} == 8\n",
            "lpm r22, Z+\n",
            "rjmp 46f\n",
            "45:\n",
            "lsl r25\n",
            "rol r18\n",
            "rol r24\n",
            "46:\n",
            "dec r22\n",
            "brpl 45b\n",
            ".else\n",
            ".rept {shift}\n",
            "lsl r25\n",
            "rol r18\n",
            "rol r24\n",
            ".endr\n",
            ".endif\n",
            // Half a step, the zero point and 128 more: the result counts from 0 to 255.
            "subi r25, 0x80\n",
            "sbci r18, 127 - {zero_point}\n",
            "sbci r24, 0xff\n",
            "cpse r24, r2\n",
            "ldi r18, 0xff\n",
            "sbrc r24, 7\n",
            "clr r18\n",
            ".if {min} > -128\n",
            "cpi r18, {min} + 128\n",
            "brsh 43f\n",
            "ldi r18, {min} + 128\n",
            "43:\n",
            ".endif\n",
            ".if {max} < 127\n",
            "cpi r18, {max} + 129\n",
            "brlo 44f\n",
            "ldi r18, {max} + 128\n",
            "44:\n",
            ".endif\n",
            "subi r18, 0x80\n",
            "st X+, r18\n",
            "ret\n",
            ".if {short}\n",
            "42:\n",
            "adiw r30, {scale}\n",
            "ldi r18, {min}\n",
            "st X+, r18\n",
            "ret\n",
            ".endif\n",
        )
    };
}
#[cfg(tinymlp_arch = "avr")]
pub(super) use store_result;
