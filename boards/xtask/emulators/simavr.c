/* Runs a firmware in simavr: answers it on its serial line, and counts between its marks.

   simavr FLASH MCU HZ STATICS_END FAULT

   FLASH        file with the bytes of the program memory
   STATICS_END  the stack must not come below this address
   FAULT        exit status where it does, or where the processor crashes

   Reads inputs.bin and writes outputs.bin and metrics.bin in the working directory; boards/harness/src/link/serial.rs
   describes the exchange. counters.bin gets two little-endian numbers of 64 bits for every pair of marks, which are
   writes to GPIOR0 of 1 and of 0: the instructions and the cycles from the one to the other, the second mark included
   and the first not. */

#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_io.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { GPIOR0 = 0x3e, SPL = 0x5d, SPH = 0x5e };

static avr_t *avr;
static avr_irq_t *receiver;
static FILE *inputs, *outputs, *metrics, *counters;
static uint64_t instructions;

/* What the firmware is being sent, and whether its receiver takes more. */
static uint8_t answer[1 + 65536];
static size_t answer_length, answer_sent;
static int ready = 1;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static FILE *open_file(const char *name, const char *mode) {
    FILE *file = fopen(name, mode);
    if (!file) fail("cannot open %s", name);
    return file;
}

static void finish(int status) {
    if (fclose(outputs) || fclose(metrics) || fclose(counters)) fail("cannot write the results");
    exit(status);
}

static void mark(avr_t *core, avr_io_addr_t address, uint8_t value, void *unused) {
    static uint64_t first_instruction, first_cycle;
    (void)unused;
    core->data[address] = value;
    if (value) {
        first_instruction = instructions;
        first_cycle = core->cycle;
        return;
    }
    uint64_t spans[] = {instructions - first_instruction, core->cycle - first_cycle};
    for (int i = 0; i < 2; i++)
        for (int shift = 0; shift < 64; shift += 8) fputc(spans[i] >> shift & 0xff, counters);
}

static void answer_with_row(size_t length) {
    size_t got = fread(answer + 1, 1, length, inputs);
    answer[0] = got == length ? 1 : got ? 2 : 0;
    answer_length = got == length ? 1 + length : 1;
    answer_sent = 0;
}

/* Takes the messages apart. */
static void on_byte(avr_irq_t *irq, uint32_t value, void *unused) {
    static int letter, header_bytes;
    static size_t length;
    uint8_t byte = value;
    (void)irq, (void)unused;
    if (!letter) {
        letter = byte, length = 0, header_bytes = 0;
        return;
    }
    if (letter == 'X') finish(byte);
    if (header_bytes < 2) {
        length |= (size_t)byte << (8 * header_bytes++);
        if (header_bytes == 2 && letter == 'R') answer_with_row(length);
        else if (header_bytes < 2 || length) return;
        letter = 0;
        return;
    }
    if (letter != 'O' && letter != 'M') fail("the firmware sent an unknown message");
    fputc(byte, letter == 'O' ? outputs : metrics);
    if (!--length) letter = 0;
}

static void on_flow(avr_irq_t *irq, uint32_t value, void *is_ready) {
    (void)irq, (void)value;
    ready = is_ready != NULL;
}

static void log_nothing(avr_t *core, const int level, const char *format, va_list arguments) {
    if (level <= LOG_ERROR) vfprintf(stderr, format, arguments);
    (void)core;
}

int main(int count, char **arguments) {
    static uint8_t flash[1 << 18];
    if (count != 6) fail("usage: simavr FLASH MCU HZ STATICS_END FAULT");
    long statics_end = strtol(arguments[4], NULL, 0);
    int fault = atoi(arguments[5]);
    FILE *file = open_file(arguments[1], "rb");
    size_t size = fread(flash, 1, sizeof flash, file);
    fclose(file);
    inputs = open_file("inputs.bin", "rb");
    outputs = open_file("outputs.bin", "wb");
    metrics = open_file("metrics.bin", "wb");
    counters = open_file("counters.bin", "wb");

    avr_global_logger_set(log_nothing);
    avr = avr_make_mcu_by_name(arguments[2]);
    if (!avr || avr_init(avr)) fail("simavr does not know %s", arguments[2]);
    if (size > (size_t)avr->flashend + 1) fail("the program memory is too small");
    avr->frequency = strtoul(arguments[3], NULL, 0);
    /* One instruction a step, so that they can be counted. */
    avr->run_cycle_limit = 1;
    avr_loadcode(avr, flash, size, 0);
    avr->codeend = avr->flashend;
    avr_register_io_write(avr, GPIOR0, mark, NULL);

    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    uint32_t uart = AVR_IOCTL_UART_GETIRQ('0');
    receiver = avr_io_getirq(avr, uart, UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, uart, UART_IRQ_OUTPUT), on_byte, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, uart, UART_IRQ_OUT_XON), on_flow, &ready);
    avr_irq_register_notify(avr_io_getirq(avr, uart, UART_IRQ_OUT_XOFF), on_flow, NULL);

    for (;;) {
        int state = avr_run(avr);
        instructions++;
        if (state == cpu_Crashed || state == cpu_Done) finish(fault);
        if (avr->data[SPL] + (avr->data[SPH] << 8) < statics_end - 1) {
            fputs("the stack has reached the statics\n", stderr);
            finish(fault);
        }
        while (ready && answer_sent < answer_length) avr_raise_irq(receiver, answer[answer_sent++]);
    }
}
