// Preloaded into User-Mode Linux on hosts whose processors have AMX.
//
// User-Mode Linux 6.1 restores the floating-point state of a process with
// PTRACE_SETREGSET and a buffer that has the size of the state with AVX-512. The kernel
// of a host takes a state as large as its processor's only, and else says EFAULT, of
// which the first process dies. Here such a state becomes the beginning of a whole one.

#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// Where the header of an XSAVE area begins: the bits of the components that are in it.
// Those that User-Mode Linux knows are 0 to 7 and, for protection keys, 9.
enum { HEADER = 512 };
static const uint64_t known = 0x2ff;

static long call(long request, long pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, request, pid, addr, data);
}

static long restore(long pid, void *type, const struct iovec *state)
{
	// Nothing but the beginning is ever written, so that all else is in its initial
	// state. User-Mode Linux has one thread for this.
	static char area[1 << 16];
	static struct iovec whole = {.iov_base = area};
	if (whole.iov_len == 0) {
		struct iovec first = {area, sizeof area};
		if (call(PTRACE_GETREGSET, pid, type, &first) < 0)
			return -1;
		memset(area, 0, first.iov_len);
		whole.iov_len = first.iov_len;
	}
	if (state->iov_len > whole.iov_len) {
		errno = EFAULT;
		return -1;
	}
	memcpy(area, state->iov_base, state->iov_len);
	uint64_t components;
	memcpy(&components, area + HEADER, sizeof components);
	components &= known;
	memcpy(area + HEADER, &components, sizeof components);
	return call(PTRACE_SETREGSET, pid, type, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	long pid = va_arg(arguments, pid_t);
	void *addr = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);

	switch (request) {
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
	case PTRACE_PEEKUSER: { // the C library returns what the system call writes
		long word;
		if (call(request, pid, addr, &word) < 0)
			return -1;
		errno = 0;
		return word;
	}
	default:
		break;
	}
	if (request == PTRACE_SETREGSET && addr == (void *)NT_X86_XSTATE)
		return restore(pid, addr, data);
	return call(request, pid, addr, data);
}
