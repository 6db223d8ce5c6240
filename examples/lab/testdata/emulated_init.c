/*
 * Process 1 of a Debian kernel in QEMU, until the host's files are there: it loads what
 * they need, in the order of its file names, makes them the root, and becomes the program
 * that the command line of the kernel names as LAB_INIT.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

int main(void)
{
	struct dirent **list;
	int n = scandir("/modules", &list, NULL, alphasort);

	check(n, "modules");
	check(chdir("/modules"), "modules");
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] == '.')
			continue;
		int fd = open(list[i]->d_name, O_RDONLY);
		check(fd, list[i]->d_name);
		check(syscall(SYS_finit_module, fd, "", 0), list[i]->d_name);
		close(fd);
	}
	check(mkdir("/host", 0755), "mkdir");
	check(mount("host", "/host", "9p", 0, "trans=virtio,version=9p2000.L,cache=loose,msize=262144"), "mount");
	check(chdir("/host"), "chdir");
	check(mount(".", "/", NULL, MS_MOVE, NULL), "move");
	check(chroot("."), "chroot");
	char *argv[] = { getenv("LAB_INIT"), NULL };
	check(argv[0] ? 0 : -1, "LAB_INIT");
	check(execv(argv[0], argv), argv[0]);
	return 1;
}
