// Datagrams for scripts/bench-gateway, on 127.0.0.1 only, bounded in time.
// datagrams send PORT PER_SECOND SECONDS BYTES   prints how many were sent
// datagrams sink PORT SECONDS                    prints how many came
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int count, char **words) {
  if (count < 4) return 2;
  int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 32 << 20;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(words[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  static char bytes[65536];
  if (!strcmp(words[1], "send")) {
    if (count < 6 || connect(fd, (void *)&at, sizeof at)) return 2;
    double rate = atof(words[3]), seconds = atof(words[4]), start = now(), passed;
    int size = atoi(words[5]);
    long sent = 0;
    while ((passed = now() - start) < seconds) {
      for (long due = passed * rate; sent < due; sent++) send(fd, bytes, size, 0);
      struct timespec pause = {0, 50000};
      nanosleep(&pause, 0);
    }
    printf("%ld\n", sent);
    return 0;
  }
  struct timeval patience = {0, 100000};
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (bind(fd, (void *)&at, sizeof at)) return 1;
  long got = 0;
  for (double end = now() + atof(words[3]); now() < end;) got += recv(fd, bytes, sizeof bytes, 0) >= 0;
  printf("%ld\n", got);
  return 0;
}
