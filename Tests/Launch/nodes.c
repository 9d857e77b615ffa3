// Prints where each rank is, how many groups share memory, and Mbit/s of 1 MiB messages between first and last rank.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { bytes = 1 << 20, rounds = 4 };

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks, local, locals, nodes;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  MPI_Comm shared;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &shared);
  MPI_Comm_rank(shared, &local);
  MPI_Comm_size(shared, &locals);
  int first = local == 0;
  MPI_Allreduce(&first, &nodes, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  char host[64] = "";
  gethostname(host, sizeof host - 1);
  printf("rank %d: %s, %d of %d there\n", rank, host, local, locals);

  char *message = calloc(bytes, 1);
  int last = ranks - 1;
  MPI_Barrier(MPI_COMM_WORLD);
  double start = MPI_Wtime();
  for (int round = 0; round < rounds && last > 0; round++) {
    if (rank == 0) MPI_Send(message, bytes, MPI_BYTE, last, 0, MPI_COMM_WORLD);
    if (rank == last) MPI_Recv(message, bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (rank == last) MPI_Send(message, bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    if (rank == 0) MPI_Recv(message, bytes, MPI_BYTE, last, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  double seconds = MPI_Wtime() - start;
  if (rank == 0) printf("%d ranks, %d nodes, %.0f Mbit/s\n", ranks, nodes, 2e-6 * rounds * bytes * 8 / seconds);
  free(message);
  MPI_Comm_free(&shared);
  MPI_Finalize();
}
