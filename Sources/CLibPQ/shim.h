#include <libpq-fe.h>

#ifdef __linux__
#include <poll.h>
#include <signal.h>
#include <time.h>
// glibc hides it from those who do not ask for GNU's own functions, and Swift cannot ask.
extern int ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout, const sigset_t *signals);
#endif
