/* Shifted clocks for one process: preloaded into it, they answer the system's time plus an offset.

   The file named by BATCH_UPLOAD_TESTS_CLOCKS holds three 64-bit integers in the machine's byte order: nanoseconds to
   add to CLOCK_REALTIME, CLOCK_MONOTONIC and CLOCK_BOOTTIME, in that order. It is mapped, so a change counts at once.

   The kernel knows nothing of the offsets. So a moment that the process hands back to it (an absolute time-out) is moved
   by the same offset the other way. Relative time-outs (poll, epoll, select, relative sleeps) last as long as ever. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL
#define NEVER_MONOTONIC_S 1000000000LL /* the year 2001 since 1970; no machine has been up for 31 years */

enum { REALTIME, MONOTONIC, BOOTTIME, CLOCKS };

static const int64_t no_offsets[CLOCKS];
static const volatile int64_t *offsets = no_offsets;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void map_offsets(void) {
  const char *path = getenv("BATCH_UPLOAD_TESTS_CLOCKS");
  if (path == NULL) return;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof no_offsets, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) offsets = mapped;
}

static int64_t offset_of(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      return offsets[REALTIME];
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
      return offsets[MONOTONIC];
    case CLOCK_BOOTTIME:
      return offsets[BOOTTIME];
    default: /* CPU times and the like */
      return 0;
  }
}

static struct timespec moved(const struct timespec *at, int64_t by_ns) {
  int64_t seconds = at->tv_sec + by_ns / SECOND_NS, nanoseconds = at->tv_nsec + by_ns % SECOND_NS;
  if (nanoseconds < 0) {
    seconds -= 1;
    nanoseconds += SECOND_NS;
  } else if (nanoseconds >= SECOND_NS) {
    seconds += 1;
    nanoseconds -= SECOND_NS;
  }
  if (seconds < 0) seconds = nanoseconds = 0; /* the kernel refuses what lies before its beginning */
  return (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
}

/* What the process reads. */

int clock_gettime(clockid_t clock, struct timespec *at) {
  static __typeof__(&clock_gettime) real;
  if (real == NULL) real = REAL(clock_gettime);
  int failed = real(clock, at);
  if (!failed) *at = moved(at, offset_of(clock));
  return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  static __typeof__(&gettimeofday) real;
  if (real == NULL) real = REAL(gettimeofday);
  int failed = real(at, zone);
  if (!failed) {
    struct timespec then = {.tv_sec = at->tv_sec, .tv_nsec = at->tv_usec * 1000};
    then = moved(&then, offsets[REALTIME]);
    at->tv_sec = then.tv_sec;
    at->tv_usec = then.tv_nsec / 1000;
  }
  return failed;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}

/* What the process hands back: CPython waits for locks by the first three and sleeps by the last. */

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until) {
  static __typeof__(&sem_clockwait) real;
  if (real == NULL) real = REAL(sem_clockwait);
  struct timespec then = moved(until, -offset_of(clock));
  return real(semaphore, clock, &then);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
  static __typeof__(&sem_timedwait) real;
  if (real == NULL) real = REAL(sem_timedwait);
  struct timespec then = moved(until, -offsets[REALTIME]);
  return real(semaphore, &then);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static __typeof__(&pthread_cond_timedwait) real;
  if (real == NULL) real = REAL(pthread_cond_timedwait);
  /* A condition does not tell its clock; the size of the number does. */
  int64_t offset = until->tv_sec < NEVER_MONOTONIC_S ? offsets[MONOTONIC] : offsets[REALTIME];
  struct timespec then = moved(until, -offset);
  return real(condition, mutex, &then);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
  static __typeof__(&clock_nanosleep) real;
  if (real == NULL) real = REAL(clock_nanosleep);
  struct timespec then = flags & TIMER_ABSTIME ? moved(until, -offset_of(clock)) : *until;
  return real(clock, flags, &then, left);
}
